// The page: an image, from wherever it comes, goes through the network and into the viewer.

import { BrowserNetwork, hasGpu } from "./browser_network.js";
import { decodeImage, scaledImage } from "./image_input.js";
import { saveIds } from "./saving.js";
import { ServerNetwork } from "./server_network.js";
import { Viewer } from "./viewer.js";

const element = (id) => document.getElementById(id);
const SETTINGS = ["threshold", "min_stuff_area"];
const CAMERA_SIDE = 512; // as much as a CPU does a few times a second

let viewer; // shows results
let networks; // by the value of #device
let current = null; // the image shown, as it came: {bitmap, name}
let running = null; // a promise while a prediction runs
let shown = null; // the result in the viewer: {ids, width, height, name}
let camera = null; // the stream while it is on

start().catch(showError);

async function start() {
  say("Loading …");
  const description = await fetchJson("page.json");
  document.title = element("title").textContent = `Panoptic segmentation: ${description.name}`;
  networks = await usableNetworks(description);
  viewer = new Viewer(element("viewer"), description.categories);
  offerDevices();
  offerSettings(description.settings);
  listenForImages(description.sample);
  say("Choose an image.");
}

async function fetchJson(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the server answers ${response.status}`);
  return response.json();
}

async function usableNetworks({ runs_in_browser: runsInBrowser, runs_on_server: runsOnServer }) {
  const found = {};
  if (runsInBrowser && typeof WebAssembly === "object") {
    if (await hasGpu()) found["this browser, GPU"] = new BrowserNetwork("gpu");
    found["this browser, CPU"] = new BrowserNetwork("cpu");
  }
  if (runsOnServer) found["the server"] = new ServerNetwork();
  if (!Object.keys(found).length) {
    throw new Error(
      "This browser has no WebAssembly, which the network needs; allow it, or take another browser.",
    );
  }
  return found;
}

function offerDevices() {
  for (const name of Object.keys(networks)) element("device").add(new Option(name));
  element("device_label").hidden = Object.keys(networks).length < 2;
  element("device").addEventListener("change", predictAgain);
  element("size").addEventListener("change", predictAgain);
}

function offerSettings(settings) {
  for (const name of SETTINGS.filter((name) => name in settings)) {
    element(`${name}_label`).hidden = false;
    element(name).value = settings[name];
    element(name).addEventListener("change", predictAgain);
  }
  const tell = () => { element("threshold_value").value = element("threshold").value; };
  element("threshold").addEventListener("input", tell);
  tell();
}

function chosenSettings() {
  const offered = SETTINGS.filter((name) => !element(`${name}_label`).hidden);
  return Object.fromEntries(offered.map((name) => [name, numberIn(element(name))]));
}

// What an input holds, as its own limits want it.
function numberIn({ type, value, min, max }) {
  const number = Math.min(Math.max(Number(value) || 0, Number(min)), Number(max));
  return type === "number" ? Math.round(number) : number;
}

function listenForImages(sample) {
  element("choose").addEventListener("click", () => element("file").click());
  element("file").addEventListener("change", ({ target }) => {
    take(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  element("sample").hidden = !sample;
  element("sample").addEventListener("click", () => takeSample(sample).catch(showError));
  element("camera").addEventListener("click", () => toggleCamera().catch(showError));
  element("save").addEventListener("click", () => saveIds(shown).catch(showError));
  document.addEventListener("paste", ({ target, clipboardData }) => {
    if (!target.matches?.("input")) take(clipboardData.files[0]); // there it is text for the input
  });
  for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, drag);
}

function drag(event) {
  event.preventDefault(); // the browser would open the file in place of the page
  document.body.classList.toggle("dropping", event.type === "dragover");
  if (event.type === "drop") take(event.dataTransfer.files[0]);
}

async function takeSample(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the server answers ${response.status}`);
  take(new File([await response.blob()], path));
}

async function take(file) {
  try {
    if (!file) throw new Error("Expected an image file; what came is none.");
    stopCamera();
    current = { bitmap: await decodeImage(file), name: file.name };
    await predict();
  } catch (error) {
    showError(error);
  }
}

function predictAgain() {
  if (current && !camera) predict().catch(showError);
}

// Predict the current image. While one is at work, the newest of all that come meanwhile waits.
async function predict() {
  const wanted = current;
  while (running) await running.catch(() => {}); // who began it is told
  if (wanted !== current) return;
  running = predictNow(wanted).finally(() => { running = null; });
  await running;
}

async function predictNow({ bitmap, name }) {
  const device = element("device").value;
  const side = Number(element("size").value);
  const image = scaledImage(bitmap, camera ? Math.min(side || CAMERA_SIDE, CAMERA_SIDE) : side);
  const network = networks[device];
  const doing = network.isLoaded ? "at work" : "loading the network";
  if (!camera) say(`${name}: ${image.width} × ${image.height} pixels, ${doing} …`);
  const result = await network.predict(image, chosenSettings());
  element("viewer").hidden = false;
  element("save").hidden = Boolean(camera);
  viewer.show({ ...image, ids: result.ids, segments: result.segments, name });
  shown = { ids: result.ids, width: image.width, height: image.height, name };
  const time = `${result.seconds.toFixed(2)} s (${result.device})`;
  say(`${name}: ${image.width} × ${image.height} pixels, ${result.segments.length} segments, ${time}`);
}

async function toggleCamera() {
  if (camera) return stopCamera();
  if (!navigator.mediaDevices) throw new Error("The camera needs an address with https or localhost.");
  camera = await navigator.mediaDevices
    .getUserMedia({ video: { facingMode: "environment" } })
    .catch((error) => { throw new Error(`The camera cannot be used (${error.message}).`); });
  element("camera").setAttribute("aria-pressed", "true");
  const video = document.createElement("video");
  video.srcObject = camera;
  video.muted = video.playsInline = true;
  await video.play();
  while (camera && video.srcObject === camera) {
    current = { bitmap: await createImageBitmap(video), name: "camera" };
    await predict();
  }
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  element("camera").setAttribute("aria-pressed", "false");
}

function say(text) {
  element("status").className = "";
  element("status").textContent = text;
}

function showError(error) {
  stopCamera();
  say(error.message.split("\n")[0]);
  element("status").className = "error";
}
