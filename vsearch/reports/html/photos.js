// Each photo is stored once, by key; elements that show it name the key in `data-photo`.
"use strict";
const PHOTOS = JSON.parse(document.getElementById("photos").textContent);
for (const image of document.querySelectorAll("img[data-photo]")) {
  if (PHOTOS[image.dataset.photo]) image.src = PHOTOS[image.dataset.photo];
}
// A printed page shows folded details.
const unfolded = [];
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    unfolded.push(part);
  }
});
window.addEventListener("afterprint", () => {
  for (const part of unfolded.splice(0)) part.open = false;
});
