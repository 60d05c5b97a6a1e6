// Alerts are delivered at least once: pass on each event_id only the first time.
const seen = context.get("seen") || [];
const id = msg.payload.event_id;
if (typeof id !== "string" || seen.includes(id)) {
    return null;
}
seen.push(id);
context.set("seen", seen.slice(-1000));
const a = msg.payload;
// A cleared message has no bands_hz. The short form of an alert has fewer fields; the machine is
// also in the topic.
const bands = (a.bands_hz || []).map((band) => `, ${band.join("-")} Hz`).join("");
const score = a.score === undefined ? "" : `, score ${a.score.toFixed(1)}`;
const threshold = a.threshold === undefined ? "" : ` of ${a.threshold.toFixed(1)}`;
msg.machine = a.machine || msg.topic.split("/").slice(-2)[0];
const found = a.findings ? `, found: ${a.findings[0].text}` : "";
msg.text = `${msg.machine}: ${a.kind}${score}${threshold}${bands}${found}`;
return msg;
