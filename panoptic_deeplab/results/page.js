// The page of a prediction: one image after the other in the viewer, which stands before this text.
// What is shown of an image is JSON: in the page itself, or in a script beside it. Only the image
// that is shown is decoded.

const page = JSON.parse(document.getElementById("page").textContent);
const inPage = document.querySelectorAll("script.image");
const viewer = new Viewer(document.getElementById("viewer"), page.categories);
const choice = document.getElementById("images");
const message = document.getElementById("message");
let current = -1; // number of the image that is shown or being loaded
let received = null; // by the script of an image

window.receiveImage = (image) => {
  received = image;
};

async function show(number) {
  current = number;
  const { title } = page.images[number];
  choice.value = number;
  document.getElementById("position").textContent = `${number + 1} of ${page.images.length}`;
  history.replaceState(null, "", `#${number + 1}`);
  message.textContent = "";
  try {
    const shown = await decoded(await stored(number));
    if (current === number) { // not where the next has been asked for meanwhile
      viewer.show({ ...shown, name: title });
    }
  } catch (error) {
    message.textContent = `${title} cannot be shown: ${error.message}`;
  }
}

/** What the page, or the file beside it, holds of an image. */
async function stored(number) {
  return inPage.length ? JSON.parse(inPage[number].textContent) : fromFile(page.images[number].file);
}

/** Runs the script that hands over an image: a page on a disk may not read files in another way. */
function fromFile(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = file;
    script.onload = () => {
      script.remove();
      const image = received;
      received = null;
      if (image) {
        resolve(image);
      } else {
        reject(new Error(`${decodeURI(file)} holds no image`));
      }
    };
    script.onerror = () => {
      script.remove();
      reject(new Error(`${decodeURI(file)} is not beside this page`));
    };
    document.head.append(script);
  });
}

async function decoded(image) {
  const pixels = new Image();
  pixels.src = image.image;
  const { width, height, segments, groundTruth } = image;
  const [ids, truthIds] = await Promise.all([
    decodedIds(image.ids, width),
    groundTruth && decodedIds(groundTruth.ids, width),
    pixels.decode(),
  ]);
  const truth = groundTruth && { ids: truthIds, segments: groundTruth.segments };
  return { image: pixels, width, height, ids, segments, groundTruth: truth };
}

/** The ids of all pixels: 32 bits each, rows that hold what differs from the row above, deflated. */
async function decodedIds(base64, width) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const ids = new Uint32Array(await new Response(stream).arrayBuffer());
  for (let i = width; i < ids.length; i++) {
    ids[i] ^= ids[i - width];
  }
  return ids;
}

function step(difference) {
  const number = current + difference;
  if (page.images[number]) {
    show(number);
  }
}

/** Whether an element does something of its own with the arrow keys. */
function takesArrows(element) {
  return element.matches("input[type=range], input[type=search], select")
    || (element.matches(".viewer-scroll") && element.scrollWidth > element.clientWidth);
}

function showAddressed() {
  const number = Number(location.hash.slice(1)) - 1;
  show(page.images[number] ? number : 0);
}

choice.append(...page.images.map(({ title }, number) => new Option(title, number)));
choice.addEventListener("change", () => show(Number(choice.value)));
document.getElementById("previous").addEventListener("click", () => step(-1));
document.getElementById("next").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  const difference = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const isOther = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  if (difference && !isOther && !takesArrows(event.target)) {
    event.preventDefault();
    step(difference);
  }
});
window.addEventListener("hashchange", showAddressed);
if (page.images.length) {
  showAddressed();
}
