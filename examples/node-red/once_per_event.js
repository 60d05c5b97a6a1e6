// Alerts are delivered at least once: pass on each event_id only the first time.
const seen = context.get("seen") || [];
const id = msg.payload.event_id;
if (typeof id !== "string" || seen.includes(id)) {
    return null;
}
seen.push(id);
context.set("seen", seen.slice(-1000));
const a = msg.payload;
// A cleared message has no bands_hz.
const bands = (a.bands_hz || []).map((band) => `, ${band.join("-")} Hz`).join("");
msg.machine = a.machine;
msg.text = `${a.machine}: ${a.kind}, score ${a.score.toFixed(1)} of ${a.threshold.toFixed(1)}${bands}`;
return msg;
