// Copies the address of the page.
export default function (component) {
  const { parentElement } = component;
  const button = parentElement.querySelector("button");
  const status = parentElement.querySelector("[role=status]");
  button.onclick = async () => {
    const copied = await copy(window.location.href);
    status.textContent = copied ? "Copied" : "Not copied: copy it from the address bar";
    setTimeout(() => (status.textContent = ""), 4000);
  };
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS, or where the browser refuses, there is no clipboard to write to but by a selection.
    const field = document.createElement("textarea");
    field.value = text;
    field.style.position = "fixed";
    field.style.opacity = "0";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
