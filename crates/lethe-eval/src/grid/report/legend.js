for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    for (const line of document.querySelectorAll("g.line")) {
      if (line.dataset.policy === button.dataset.policy) line.toggleAttribute("hidden", !on);
    }
  });
}
