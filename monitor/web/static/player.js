/**
 * The sound of an alert with its three pictures, beside healthy sound of the same machine.
 *
 * The browser's own controls play and seek. A line on the pictures shows the position; a click on
 * a picture plays from there.
 */

import { fill, h, setAttribute, setText } from "./dom.js";
import { moment, unixSeconds } from "./format.js";
import { difference, loudness } from "./palette.js";
import { Spectrogram } from "./spectrogram.js";
import { t } from "./texts.js";

const LOUDER = 8;
const NEAR = 0.16; // texts of marks that are nearer would touch
const PANELS = [
  ["sound", loudness],
  ["reconstruction", loudness],
  ["difference", difference],
];

/**
 * clips: [{key, name, sources: [{type, href}], metadata, images: () => Promise of three
 * Uint8Array}], the first one is shown at once, or the one with the key chosen. bands: ranges to mark, in hertz.
 */
export class ClipPlayer {
  constructor(container, clips, bands, chosen = null) {
    this.clips = clips;
    this.clip = clips.find((clip) => clip.key === chosen) ?? clips[0];
    this.bands = bands;
    this.audio = h("audio", { controls: true, preload: "none" });
    this.views = PANELS.map(([name, colours]) => ({
      view: new Spectrogram(t(`sound.${name}`), t(`sound.clip_${name}`)),
      playhead: h("div", { class: "playhead", "aria-hidden": "true" }),
      colours,
    }));
    for (const { view, playhead } of this.views) {
      view.frame.append(playhead);
      view.frame.addEventListener("click", (event) => this.seek(event, view.frame));
    }
    this.controls = h("div", { class: "player-controls" }, this.audio, this.louder());
    this.note = h("p", { class: "clip-note" });
    this.trouble = h("p", { class: "form-error", role: "alert" });
    this.audio.addEventListener("error", () => setText(this.trouble, t("alert.clip_failed")), true);
    fill(
      container,
      this.choice(),
      this.controls,
      this.note,
      this.trouble,
      h("div", { class: "pictures" }, ...this.views.map(({ view }) => view.element)),
      h("p", { class: "hint" }, t("alert.pictures_hint")),
    );
    this.show(this.clip);
    this.follow();
  }

  get isPlaying() {
    return !this.audio.paused;
  }

  choice() {
    if (this.clips.length < 2) return null;
    const options = this.clips.map((clip) => {
      const input = h("input", {
        type: "radio",
        name: "clip",
        value: clip.key,
        checked: clip === this.clip,
        onchange: () => this.show(clip),
      });
      return h("label", { class: "segment" }, input, h("span", {}, clip.name));
    });
    return h("fieldset", { class: "segments" }, h("legend", { class: "hidden" }, t("alert.compare")), ...options);
  }

  louder() {
    const box = h("input", { type: "checkbox", onchange: () => this.amplify(box.checked) });
    return h("label", { class: "check" }, box, t("alert.louder"));
  }

  /** Machines are often recorded quietly. The gain is in the page, not in the clip. */
  amplify(isLouder) {
    if (!this.gain) {
      const context = new AudioContext();
      const source = context.createMediaElementSource(this.audio);
      this.gain = context.createGain();
      source.connect(this.gain).connect(context.destination);
      this.audio.addEventListener("play", () => context.resume());
      context.resume();
    }
    this.gain.gain.value = isLouder ? LOUDER : 1;
  }

  async show(clip) {
    const wasPlaying = this.isPlaying;
    this.clip = clip;
    setText(this.trouble, "");
    setAttribute(this.audio, "aria-label", clip.name);
    this.controls.hidden = !clip.metadata.has_sound;
    fill(this.audio, ...clip.sources.map(({ type, href }) => h("source", { type, src: href })));
    this.audio.load();
    if (wasPlaying) this.audio.play().catch(() => {});
    setText(this.note, clip.note ?? "");
    try {
      const images = await clip.images();
      if (this.clip === clip) this.paint(clip.metadata, images);
    } catch (error) {
      setText(this.trouble, error.message);
    }
  }

  paint(metadata, images) {
    const { mel_hz: melHz, n_frames: nFrames, low_db: low, high_db: high, residual_db: most } = metadata.log_mel;
    const moment_ = momentOf(metadata);
    this.views.forEach(({ view, colours }, index) => {
      view.resize(melHz, nFrames);
      view.drawBands(images[index], colours);
      view.scale.show(colours, ...(colours === difference ? [-most, most] : [low, high]));
      view.markTimes(clipTicks(metadata, moment_));
      view.markMoment(moment_);
      view.markBands(this.clip.showsBands ? this.bands : [], melHz);
    });
  }

  seek(event, frame) {
    const { left, width } = frame.getBoundingClientRect();
    this.audio.currentTime = ((event.clientX - left) / width) * this.seconds();
    this.audio.play().catch(() => {});
  }

  seconds() {
    return this.clip.metadata.seconds || this.audio.duration || 1;
  }

  /** Move the line, until another player takes the place of this one. */
  follow() {
    if (!this.audio.isConnected) return;
    const share = Math.min(1, this.audio.currentTime / this.seconds());
    for (const { playhead, view } of this.views) {
      playhead.style.transform = `translateX(${share * view.frame.clientWidth}px)`;
    }
    requestAnimationFrame(() => this.follow());
  }
}

/** Where the moment of a piece is in its clip, from 0 to 1; null for healthy sound. */
function momentOf({ moment: name, at, starts_at: begins, seconds }) {
  const place = (unixSeconds(at) - unixSeconds(begins)) / seconds;
  return name !== "healthy" && place > 0 && place <= 1 ? place : null;
}

/** Marks every few seconds, the first one as a time of day, and the moment of the piece by its name. */
function clipTicks(metadata, moment_) {
  const begins = unixSeconds(metadata.starts_at);
  const step = metadata.seconds > 20 ? 10 : metadata.seconds > 8 ? 5 : 2;
  const ticks = [];
  for (let s = 0; s <= metadata.seconds - step / 2; s += step) {
    ticks.push({ place: s / metadata.seconds, text: s === 0 ? moment(begins, { seconds: true }) : t("sound.plus_seconds", { value: s }) });
  }
  if (moment_ === null) return ticks;
  const free = ticks.filter(({ place }) => place === 0 || place > moment_ + NEAR);
  return [...free, { place: moment_, text: t(`alert.clip_${metadata.moment}`) }];
}
