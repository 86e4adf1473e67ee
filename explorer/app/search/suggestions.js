// Words offered above the search box while it is typed in: below it is the button that searches. The box stays what it is: the list takes only the arrow keys,
// Escape, and Enter or Tab once a word of it is marked by an arrow key.
const BOX = ".st-key-cxr-query textarea";
const MOST = 6;
const SHORTEST = 2; // letters of a word before anything is offered

export default function ({ data, parentElement }) {
  const offer = (globalThis[Symbol.for("cxr-suggestions")] ??= watchBox());
  offer.show(data.terms, parentElement.querySelector(".cxr-suggestions"), parentElement.querySelector("[role=status]"));
}

function watchBox() {
  let terms = [];
  let list = null;
  let status = null;
  let found = []; // {term, typed}: what is offered, and the characters before the caret that it completes
  let marked = -1;

  addEventListener("input", (event) => event.target.matches?.(BOX) && offer(event.target), true);
  addEventListener("focusout", (event) => event.target.matches?.(BOX) && close(), true);
  addEventListener("keydown", onKey, true); // before the document's own listener, for which Enter searches

  function offer(box) {
    const caret = box.selectionStart;
    const open = box.selectionEnd === caret && !/[\p{L}\p{N}]/u.test(box.value[caret] ?? "");
    found = open ? completions(box.value.slice(0, caret), terms) : [];
    marked = -1;
    draw(box);
  }

  function onKey(event) {
    if (!found.length || event.isComposing || !event.target.matches?.(BOX)) return;
    const box = event.target;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (marked < 0 && step < 0) return; // out of a list that is only looked at, the caret goes where it would
      marked = marked + step < 0 ? -1 : (marked + step) % found.length;
      draw(box);
    } else if ((event.key === "Enter" || event.key === "Tab") && marked >= 0 && !event.shiftKey) {
      take(box, found[marked]);
    } else if (event.key === "Escape") {
      close();
    } else {
      if (event.key === "Enter" || event.key === "ArrowLeft" || event.key === "ArrowRight") close();
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function take(box, one) {
    const caret = box.selectionStart;
    const before = box.value.slice(0, caret - one.typed) + one.term;
    const value = before + box.value.slice(caret);
    // React hears of a value only by an event of the element's own setter.
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(box, value);
    box.setSelectionRange(before.length, before.length);
    box.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  }

  function close() {
    found = [];
    draw(document.querySelector(BOX));
  }

  function draw(box) {
    if (!list || !box) return;
    list.hidden = !found.length;
    if (found.length) {
      const anchor = list.parentElement.getBoundingClientRect();
      list.style.bottom = `${anchor.bottom - box.getBoundingClientRect().top + 4}px`;
    }
    list.replaceChildren(...found.map((one, place) => row(box, one, place)));
    box.setAttribute("aria-autocomplete", "list");
    box.setAttribute("autocomplete", "off");
    // A list that is not shown has no options, which the role demands.
    if (found.length) {
      list.id = "cxr-suggestion-list";
      list.setAttribute("role", "listbox");
      list.setAttribute("aria-label", "Suggestions");
      box.setAttribute("aria-controls", list.id);
    } else {
      list.removeAttribute("role");
      list.removeAttribute("aria-label");
      box.removeAttribute("aria-controls");
    }
    if (marked >= 0 && found.length) box.setAttribute("aria-activedescendant", `cxr-suggestion-${marked}`);
    else box.removeAttribute("aria-activedescendant");
    const told = found.length ? `${found.length} suggestion${found.length > 1 ? "s" : ""}, arrow down to choose` : "";
    if (status.textContent !== told) status.textContent = told;
  }

  function row(box, one, place) {
    const option = document.createElement("div");
    option.id = `cxr-suggestion-${place}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", String(place === marked));
    option.textContent = one.term;
    // The box keeps the focus: to lose it would be to search.
    option.addEventListener("pointerdown", (event) => event.preventDefault());
    option.addEventListener("mousedown", (event) => event.preventDefault());
    option.addEventListener("click", () => take(box, one));
    return option;
  }

  return {
    show(next, element, told) {
      terms = next;
      if (element === list) return;
      list = element;
      status = told;
      draw(document.querySelector(BOX));
    },
  };
}

// Terms that the last words before the caret begin, or a word of which the last one begins: the longest run of words
// first. The name "pleural effusion" is offered for "pleural ef", "pleur" and "effu".
function completions(before, terms) {
  const sentence = before.slice(-80).split(/[.,;:!?\n]/).at(-1);
  const words = sentence.match(/\S+/g) ?? [];
  if (/\s$/.test(before) || !words.length) return [];
  const found = new Map();
  for (let count = Math.min(3, words.length); count > 0 && found.size < MOST; count--) {
    const typed = words.slice(-count).join(" ").toLowerCase();
    const length = sentence.length - sentence.lastIndexOf(words.at(-count), endOf(sentence, words, count));
    if (typed.length < SHORTEST) continue;
    if (terms.some((term) => term.toLowerCase() === typed)) return []; // it is there already
    for (const inside of count > 1 ? [false] : [false, true]) {
      for (const term of terms) {
        const plain = term.toLowerCase();
        const fits = inside ? plain.includes(` ${typed}`) : plain.startsWith(typed);
        if (fits && plain !== typed && !found.has(term) && found.size < MOST) found.set(term, { term, typed: length });
      }
    }
  }
  return [...found.values()];
}

// Where the last `count` words begin at the latest.
function endOf(sentence, words, count) {
  return sentence.length - words.slice(-count).join(" ").length;
}
