/**
 * Colours of pictures of sound. In the light scheme they are those of the reports of a training.
 *
 * viridis: Smith and van der Walt, matplotlib (CC0). The difference is blue where a band is quieter
 * than the reconstruction, and red where it is louder. Its middle is white, or nearly black in the
 * dark scheme (after "berlin": Crameri, Scientific colour maps, MIT).
 */

const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];
const DIFFERENCE = ["053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f"];

const DIFFERENCE_DARK = ["9eb0ff", "6aa3e0", "3b80ac", "265470", "192a36", "15181c", "351710", "6b2c18", "a85a48", "d98b80", "ffadad"];
const dark = matchMedia("(prefers-color-scheme: dark)");

/** 256 colours as pixels of an ImageData, as 32-bit words. */
export const loudness = table(VIRIDIS);
export const difference = table(dark.matches ? DIFFERENCE_DARK : DIFFERENCE);

/** The value of a custom property of the style sheet, such as "--alarm". */
export function themeColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Call the function whenever the viewer changes between the light and the dark scheme. */
export function onSchemeChange(change) {
  dark.addEventListener("change", change);
}

function table(stops) {
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let index = 0; index < 256; index += 1) {
    const at = (index / 255) * (stops.length - 1);
    const lower = Math.min(stops.length - 2, Math.floor(at));
    for (let channel = 0; channel < 3; channel += 1) {
      const [low, high] = [stops[lower], stops[lower + 1]].map((stop) =>
        Number.parseInt(stop.slice(2 * channel, 2 * channel + 2), 16),
      );
      bytes[4 * index + channel] = low + (high - low) * (at - lower);
    }
    bytes[4 * index + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
}
