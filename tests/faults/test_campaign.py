"""A short faults campaign; `make faults` runs the long one."""

import pytest
from faults.campaign import full_and_read_only, killed_and_frozen
from turncoat.store import Store


def test_kills_and_freezes_lose_mix_and_repeat_nothing(tmp_path):
    result = killed_and_frozen(tmp_path, hosts=3, stages=12, kills=30, freezes=3, lease=0.8)
    assert result.faults == []
    assert result.kills + result.crashes >= 30 and result.freezes >= 3 and result.stages >= 12


def test_the_campaign_sees_a_store_that_mixes_and_repeats(tmp_path, monkeypatch):
    """Its counts can be other than zero."""
    single = Store(tmp_path / "single")
    from faults import campaign, host

    folder, log = tmp_path / "store", tmp_path / "log"
    store = Store(folder)
    for number in range(3):
        host.make(store, number, lambda *_: None, lambda: None)
        host.make(single, number, lambda *_: None, lambda: None)
    (store.folder("rows", host.spec(0)) / "part-1").write_text("another writer")
    (store.folder("rows", host.spec(1)) / "rows.jsonl").write_text("other rows")
    lines = [[process, what, 2, process] for process in ("a", "b") for what in ("built", "seen")]
    log.write_text("".join(f"{campaign.json.dumps(line)}\n" for line in lines))
    result = campaign.Result("broken", 1)
    result.add(folder, log, 4, single)
    found = (result.missing, result.mixed, result.other_rows, result.lost, result.built_twice)
    assert [len(count) for count in found] == [1, 1, 1, 1, 1] and len(result.faults) == 5


def test_a_full_disk_and_a_read_only_store_lose_nothing(tmp_path):
    results = full_and_read_only(tmp_path, hosts=2, stages=8, lease=1.0)
    if not results:
        pytest.skip("this machine permits no mounts")
    full, again, finished, missing = results
    assert full.refused and all("is full" in text and "same command goes on" in text for text in full.refused)
    assert [result.faults for result in results[1:]] == [[], [], []] and not finished.refused
    assert len(missing.refused) == 2 and "what is finished can be read from both" in missing.refused[0]
    assert not again.refused
