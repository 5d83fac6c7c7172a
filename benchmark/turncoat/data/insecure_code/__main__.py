"""Print the README's table: `python -m turncoat.data.insecure_code`."""

from turncoat.data.insecure_code.bandit_table import bandit_table

if __name__ == "__main__":
    print(bandit_table())
