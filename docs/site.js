// What scrolls can be reached by the keyboard, though the theme takes the mark off what is not on the screen yet.
const reach = () => {
  document.querySelectorAll("pre > code:not([tabindex]), .md-typeset__scrollwrap:not([tabindex])").forEach(e => {
    e.tabIndex = 0;
  });
  document.querySelectorAll(".md-code__nav").forEach((e, i) => {
    if (!e.hasAttribute("aria-label")) e.setAttribute("aria-label", "Code block " + (i + 1));
  });
};
new MutationObserver(reach).observe(document.body, {
  childList: true, subtree: true, attributes: true, attributeFilter: ["tabindex"],
});
reach();
