// What the theme leaves out: what scrolls must be reached by keyboard, and parts of a page have names.
document.querySelectorAll(".table-wrapper, .highlight pre").forEach((part) => {
  if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
});
document.querySelectorAll('.caption[role="heading"]').forEach((caption) => caption.setAttribute("aria-level", "2"));
document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "All pages");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
