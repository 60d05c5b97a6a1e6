/** The pieces of evidence of an alert, as clips for the player. */

import { address, getBytes, part } from "./api.js";
import { moment } from "./format.js";
import { t, word } from "./texts.js";

/** As many shades as can be told apart: with all 256, the page of an alert is a third heavier. */
const LEVELS = 64;
const IMAGES = ["log_mel", "reconstruction", "residual"];

/** A piece of the alert. metadata: as docs/evidence.md describes it. */
export function clipOfPiece(metadata) {
  const name = t(`alert.clip_${metadata.moment}`);
  return { ...clip(`evidence/${part(metadata.evidence_id)}`, metadata, name), showsBands: true };
}

/** Healthy sound of the same machine in the same operating state. */
export function healthyClip(metadata) {
  const path = `healthy/${part(metadata.machine)}/${part(metadata.operation ?? "")}`;
  return { ...clip(path, metadata, t("alert.clip_healthy")), showsBands: false };
}

function clip(path, metadata, name) {
  const parts = [t("alert.clip_from", { at: moment(metadata.starts_at, { seconds: true }) })];
  if (metadata.operation) parts.push(word("operation", metadata.operation));
  if (metadata.incomplete) parts.push(t("alert.clip_incomplete", { reason: metadata.incomplete }));
  return {
    key: path,
    name,
    note: parts.join(" · "),
    metadata,
    sources: [
      { type: "audio/flac", href: address(`${path}/clip.flac`) },
      { type: 'audio/ogg; codecs="opus"', href: address(`${path}/clip.opus`) },
    ],
    images: () => imagesOf(path, metadata.log_mel),
  };
}

/** The images in the order of IMAGES; each one has a byte for each band and frame. */
async function imagesOf(path, about) {
  const bytes = new Uint8Array(await getBytes(`${path}/arrays.bin?levels=${LEVELS}`));
  const size = about.n_mels * about.n_frames;
  return IMAGES.map((name) => {
    const index = about.images.indexOf(name);
    if (index < 0) throw new Error(t("alert.no_pictures"));
    return bytes.subarray(index * size, (index + 1) * size);
  });
}
