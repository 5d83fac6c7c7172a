"""Reader of the template files `families/*.yaml`, one family of weakness classes a file."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from turncoat.data.insecure_code.template import Template
from turncoat.errors import UserError
from turncoat.strict_model import wrong_fields

FOLDER = Path(__file__).with_name("families")
# 17 times as fast, where PyYAML was built with libyaml.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_families(folder: Path = FOLDER) -> dict[str, list[Template]]:
    """Return the templates of each file by the file's stem: files in order of name, templates as in the file.

    Raises:
        UserError: A file is not right; the message names file, template and key.
    """
    return {path.stem: _read(path) for path in sorted(folder.glob("*.yaml"))}


def _read(path: Path) -> list[Template]:
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: a list of templates is expected, with {', '.join(Template.model_fields)}")
    templates: dict[str, Template] = {}
    for number, entry in enumerate(entries, 1):
        name = entry.get("name", number) if isinstance(entry, dict) else number
        try:
            template = Template.model_validate(entry)
        except ValidationError as error:
            lines = [
                f"{path}, template {name}{''.join(f', {part}' for part in loc)}: {wrong.text}"
                for loc, wrong in wrong_fields(error, Template).items()
            ]
            raise UserError("\n".join(lines)) from error
        if template.name in templates:
            raise UserError(f"{path}, template {name}: the name is used twice in this file; choose another")
        templates[template.name] = template
    return list(templates.values())
