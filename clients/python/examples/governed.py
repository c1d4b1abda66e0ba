"""The shortest way: a function that runs only when the sidecar says so.

Start `aegis serve` first. Usage: python governed.py
"""

from aegis import ActionDenied, governed


@governed("read", "crm")
def contacts(city: str, limit: int = 3) -> list[str]:
    """Reads contacts."""
    return [f"{name} in {city}" for name in ("Ada", "Grace", "Barbara", "Frances")[:limit]]


@governed("delete", "crm")
def delete_contact(name: str) -> None:
    """Deletes a contact for good."""
    raise AssertionError(f"{name} is deleted, though the policy forbids it")


if __name__ == "__main__":
    print(contacts("Bern"))
    try:
        delete_contact("Ada")
    except ActionDenied as denied:
        print(denied)
