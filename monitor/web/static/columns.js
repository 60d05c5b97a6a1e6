/** Live columns of sound, as the server sends them: bytes in base64. */

const CLIPPING = 1;
const QUIET = 2;
const RECONSTRUCTED = 8;

/**
 * The columns of a message.
 *
 * Each column is n_mels bytes of log-mel, n_mels of the reconstruction, n_mels of the difference.
 * Returns {n, images, levelDbfs, isClipping, isQuiet}. images: three Uint8Array; the last two are
 * null while there is no reconstruction.
 */
export function decodeColumns(message, header) {
  const nMels = header.mel_hz.length;
  const bytes = fromBase64(message.columns);
  const n = Math.floor(bytes.length / (3 * nMels));
  const shown = message.flags & RECONSTRUCTED ? [0, 1, 2] : [0];
  const images = shown.map((image) => {
    const joined = new Uint8Array(n * nMels);
    for (let column = 0; column < n; column += 1) {
      const from = (3 * column + image) * nMels;
      joined.set(bytes.subarray(from, from + nMels), column * nMels);
    }
    return joined;
  });
  return {
    n,
    images: [images[0], images[1] ?? null, images[2] ?? null],
    levelDbfs: message.level_dbfs,
    isClipping: Boolean(message.flags & CLIPPING),
    isQuiet: Boolean(message.flags & QUIET),
  };
}

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}
