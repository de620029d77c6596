/* A button with data-copy copies the text of the element it names; where the browser forbids that, the text is shown
   and chosen, to be copied by hand. */
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    text.closest("details").open = true;
    getSelection().selectAllChildren(text);
    button.textContent = "Chosen: copy it by hand";
  }
});
