// Gives a photo dropped or pasted anywhere on the page to the uploader.
const give = (event, files) => {
  const uploader = document.querySelector(".st-key-source input[type=file]");
  if (event.defaultPrevented || !files.length || !uploader) return;
  event.preventDefault();
  uploader.files = files;
  uploader.dispatchEvent(new Event("change", { bubbles: true }));
};
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => give(event, event.dataTransfer.files);
document.onpaste = (event) => give(event, event.clipboardData.files);
