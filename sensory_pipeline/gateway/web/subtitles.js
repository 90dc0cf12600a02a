// Turns as subtitles: SubRip and WebVTT.

const MOST_CHARACTERS = 84; // two lines of 42, as is usual for broadcasts
const MOST_S = 7;

function cuesOf(turns) {
  const cues = [];
  for (const turn of turns) {
    let cue = null;
    for (const word of turn.words) {
      const full = cue && (cue.segment !== word.segment || word.end - cue.start > MOST_S
        || (cue.text + word.text).length > MOST_CHARACTERS);
      if (!cue || full) cues.push(cue = {start: word.start, speaker: turn.speaker, text: ""});
      Object.assign(cue, {end: word.end, segment: word.segment, text: (cue.text + word.text).trimStart()});
    }
  }
  return cues;
}

function time(seconds, point) {
  const ms = Math.round(seconds * 1000);
  const parts = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60];
  const padded = parts.map(part => String(Math.floor(part)).padStart(2, "0")).join(":");
  return `${padded}${point}${String(ms % 1000).padStart(3, "0")}`;
}

const times = (cue, point) => `${time(cue.start, point)} --> ${time(cue.end, point)}`;
const escaped = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Turns as SubRip. */
export function srt(turns) {
  const named = cue => (cue.speaker ? `${cue.speaker}: ${cue.text}` : cue.text);
  return cuesOf(turns).map((cue, index) => `${index + 1}\n${times(cue, ",")}\n${named(cue)}\n`).join("\n");
}

/** Turns as WebVTT, with the speakers as voices. */
export function vtt(turns) {
  const named = cue => (cue.speaker ? `<v ${escaped(cue.speaker)}>` : "") + escaped(cue.text);
  return ["WEBVTT\n", ...cuesOf(turns).map(cue => `${times(cue, ".")}\n${named(cue)}\n`)].join("\n");
}
