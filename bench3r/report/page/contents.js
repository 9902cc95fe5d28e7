/* The sidebar: which chapter is read, and on phones whether it is open. */
const links = new Map();
document.querySelectorAll("nav a").forEach((link) => links.set(link.hash.slice(1), link));
const side = document.querySelector(".side");

function openMenu(open) {
  side.classList.toggle("open", open);
  by("menu").setAttribute("aria-expanded", String(open));
}

by("menu").addEventListener("click", () => openMenu(!side.classList.contains("open")));
document.querySelector("nav").addEventListener("click", (event) => {
  if (event.target.closest("a")) openMenu(false);
});
side.addEventListener("keydown", (event) => {
  if (event.key === "Escape") openMenu(false);
});

/* Unfold what an address leads to. */
function unfold() {
  const target = location.hash && by(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest("details");
  if (folded) folded.open = true;
}

addEventListener("hashchange", unfold);
unfold();

/* The last chapter and the last table whose top lies above the upper third of the window. */
const targets = [...links.keys()].map(by).filter(Boolean);
function current() {
  const line = innerHeight / 3;
  const passed = targets.filter((t) => t.getBoundingClientRect().top <= line);
  const chapter = passed.filter((t) => t.classList.contains("chapter")).pop() || targets[0];
  const inside = passed.filter((t) => t !== chapter && chapter.contains(t)).pop();
  return [chapter, inside].filter(Boolean);
}

let marked = "";
function markCurrent() {
  const now = current();
  const ids = now.map((t) => t.id).join(" ");
  if (ids === marked) return;
  marked = ids;
  links.forEach((link) => link.removeAttribute("aria-current"));
  document.querySelectorAll("nav li.open").forEach((item) => item.classList.remove("open"));
  for (const target of now) {
    const link = links.get(target.id);
    link.setAttribute("aria-current", "true");
    link.closest("nav > ol > li").classList.add("open");
  }
  const last = links.get(now[now.length - 1].id);
  if (!side.matches(":hover") && innerWidth > 960) last.scrollIntoView({ block: "nearest" });
}

let waiting = false;
addEventListener(
  "scroll",
  () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      markCurrent();
    });
  },
  { passive: true },
);
markCurrent();
