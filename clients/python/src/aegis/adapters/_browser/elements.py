"""What an element is, in its own words: its tag, its text, where its link leads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from playwright.async_api import ElementHandle, Error, Page

LONGEST_TEXT = 200
"""Characters of an element's own text that are proposed."""

# Values that were typed are left out: they may be secrets.
_LOOK = """element => {
  const copy = element.cloneNode(true);
  for (const field of [copy, ...copy.querySelectorAll('input, textarea, option')]) field.removeAttribute('value');
  const link = element.closest('a[href], area[href]');
  const form = element.form || element.closest('form');
  const sends = form && (element.type === 'submit' || element.type === 'image');
  const said = element.innerText || element.textContent || element.getAttribute('aria-label') || element.title || '';
  return {
    tag: element.tagName.toLowerCase(),
    text: (element.type === 'submit' || element.type === 'button') && element.tagName === 'INPUT' ? element.value :
    said,
    href: link ? link.href : '',
    action: sends ? (element.formAction || form.action) : '',
    html: copy.outerHTML,
  };
}"""


@dataclass(frozen=True)
class Element:
    """An element that was found, and what it says of itself."""

    handle: ElementHandle
    url: str
    """The document that it is in: the page's, or its frame's."""
    shown: dict[str, Any]


async def find(page: Page, selector: str, timeout: float) -> Element | None:
    """The first element that a selector finds; None where there is none within the time."""
    try:
        handle = await page.wait_for_selector(selector, state="attached", timeout=timeout * 1000)
    except Error:
        return None
    if handle is None:
        return None
    try:
        looked = await handle.evaluate(_LOOK)
        frame = await handle.owner_frame()
    except Error:
        # It went away while it was looked at.
        return None
    shown = {"tag": looked["tag"], "text": " ".join(looked["text"].split())[:LONGEST_TEXT]}
    shown |= {name: looked[name] for name in ("href", "action") if looked[name]}
    # All of it, so that a change of what is not shown is seen, too.
    shown["digest"] = hashlib.sha256(looked["html"].encode(errors="backslashreplace")).hexdigest()[:16]
    return Element(handle, page.url if frame is None else frame.url, shown)
