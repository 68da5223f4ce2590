// J and K walk the queue, Enter opens the ticket.
const links = [...document.querySelectorAll("#queue td.words a")];
let at = -1;
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.altKey || event.metaKey || !links.length) return;
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  at = Math.max(0, Math.min(links.length - 1, at + step));
  links[at].focus();
});
