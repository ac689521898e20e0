// Images as the network takes them: the values that the file stores, upright.

const PIXELS_AT_MOST = 179_000_000; // as in the Python package

// The image in a file, turned as its EXIF tag says; color profiles are ignored.
export async function decodeImage(file) {
  try {
    return await createImageBitmap(file, {
      colorSpaceConversion: "none",
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error(`${file.name}: is no image that this browser can read; expected PNG, JPEG or WebP.`);
  }
}

// The image with its longest side at most `side` pixels (0: as it is):
// {image: a canvas, width, height, pixels: RGBA bytes}.
export function scaledImage(bitmap, side) {
  const scale = side ? Math.min(1, side / Math.max(bitmap.width, bitmap.height)) : 1;
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  if (width * height > PIXELS_AT_MOST) throw tooLarge(width, height);
  const image = new OffscreenCanvas(width, height);
  const context = image.getContext("2d", { willReadFrequently: true });
  if (!context) throw tooLarge(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const content = context.getImageData(0, 0, width, height);
  if (isTransparent(content.data)) {
    if (scale === 1) content.data.set(storedPixels(bitmap) ?? content.data);
    makeOpaque(content.data);
    context.putImageData(content, 0, 0);
  }
  return { image, width, height, pixels: content.data };
}

function isTransparent(rgba) {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] < 255) return true;
  return false;
}

function makeOpaque(rgba) {
  for (let i = 3; i < rgba.length; i += 4) rgba[i] = 255;
}

// RGBA bytes with the colors that the file stores under transparency, of which a 2D canvas keeps
// as much as is seen; null where WebGL cannot read them.
function storedPixels(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const pixels = new Uint8ClampedArray(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return pixels;
}

export function tooLarge(width, height) {
  return new Error(
    `An image of ${width} × ${height} pixels does not fit into this browser's memory; choose a smaller longest side.`,
  );
}

// RGB bytes, row by row, of RGBA bytes; the transparency is dropped.
export function rgbOf(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}
