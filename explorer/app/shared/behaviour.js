// What a browser does by itself with documents, and pages that draw themselves anew do not have: another subject begins
// at the top, Back and Forward return to where the reader was. Besides, Enter in the search box searches.
const PATIENCE = 10000; // milliseconds that a page may take to grow as long as it was
const SETTLED = 1200; // milliseconds at the old place after which the page is left alone

export default function ({ data, parentElement }) {
  const page = (globalThis[Symbol.for("cxr-behaviour")] ??= watchPage());
  page.show(data.subject, scrollerOf(parentElement.host ?? parentElement));
}

function scrollerOf(element) {
  while (element && !/auto|scroll/.test(getComputedStyle(element).overflowY)) element = element.parentElement;
  return element;
}

function watchPage() {
  const places = new Map(); // how far each address was scrolled
  let scroller = null;
  let subject = null;
  let pending = 0; // timer that keeps a place
  let back = null; // {place, until, held} while an old place is returned to

  function keep() {
    // The address changes before the page does: what moves in between belongs to neither.
    const address = location.href;
    clearTimeout(pending);
    pending = setTimeout(() => {
      if (!back && scroller && location.href === address) places.set(address, scroller.scrollTop);
    }, 120);
  }

  function goBack() {
    if (!back) return;
    const now = performance.now();
    if (scroller?.isConnected) scroller.scrollTop = back.place;
    const there = scroller && Math.abs(scroller.scrollTop - back.place) < 2;
    back.held = there ? (back.held ?? now) : null;
    if (now > back.until || (there && now - back.held > SETTLED)) back = null;
    else setTimeout(goBack, 60);
  }

  addEventListener("popstate", () => {
    const begun = back !== null;
    back = { place: places.get(location.href) ?? 0, until: performance.now() + PATIENCE, held: null };
    if (!begun) goBack();
  });
  for (const name of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(name, () => (back = null), { capture: true, passive: true });
  }
  document.addEventListener("keydown", searchOnEnter, { capture: true });

  return {
    show(next, element) {
      if (element && element !== scroller) {
        scroller?.removeEventListener("scroll", keep);
        scroller = element;
        scroller.addEventListener("scroll", keep, { passive: true });
      }
      if (subject !== null && next !== subject && !back) scroller?.scrollTo({ top: 0 });
      subject = next;
      keep();
    },
  };
}

// Streamlit takes a text of several lines at Ctrl+Enter. In a search box people press Enter; Shift+Enter begins a line.
function searchOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.isComposing || !event.target.matches?.(".st-key-cxr-query textarea")) return;
  event.preventDefault();
  event.stopPropagation();
  const init = { key: "Enter", code: "Enter", ctrlKey: true, bubbles: true, cancelable: true };
  event.target.dispatchEvent(new KeyboardEvent("keydown", init));
}
