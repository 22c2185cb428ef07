"use strict";
// Search: every word must occur; titles count more than texts. ENTRIES (search.js) has [title, address, text].
const box = document.getElementById("search"), list = document.getElementById("found");

function find(query) {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word);
  if (!words.length) return [];
  const scored = ENTRIES.map(([title, address, text]) => {
    const inTitle = title.toLowerCase(), inText = text.toLowerCase();
    let score = 0;
    for (const word of words) {
      if (inTitle.includes(word)) score += 10;
      else if (inText.includes(word)) score += 1;
      else return [0];
    }
    return [score - title.length / 1000, title, address, text];
  });
  return scored.filter(([score]) => score > 0).sort((a, b) => b[0] - a[0]).slice(0, 12);
}

function around(text, query) {
  const word = query.toLowerCase().split(/\s+/).filter((x) => x)[0], at = text.toLowerCase().indexOf(word);
  return at < 0 ? text.slice(0, 90) : (at > 40 ? "…" : "") + text.slice(Math.max(0, at - 40), at + 60) + "…";
}

box.addEventListener("input", () => {
  list.replaceChildren(...find(box.value).map(([, title, address, text]) => {
    const item = document.createElement("li"), link = document.createElement("a"), more = document.createElement("small");
    link.href = address;
    link.textContent = title;
    more.textContent = around(text, box.value);
    link.append(more);
    item.append(link);
    return item;
  }));
  list.hidden = !list.children.length;
});
const search = box.closest(".search");
search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { box.value = ""; list.replaceChildren(); list.hidden = true; box.focus(); }
});
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && list.firstChild) location.href = list.firstChild.firstChild.href;
});
search.addEventListener("focusout", (event) => { if (event.relatedTarget && !search.contains(event.relatedTarget)) list.hidden = true; });
box.addEventListener("focus", () => { list.hidden = !list.children.length; });
document.addEventListener("click", (event) => { if (!event.target.closest(".search")) list.hidden = true; });
// Paper shows the folded answers, too; afterwards they are folded again.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const one of opened) one.open = true;
});
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
