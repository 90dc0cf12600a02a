// Shows a result as words and turns, and follows the player.

const MOST_WORDS = 40; // a longer turn is split at the end of a segment

/** The words of a result in order: {text, start, end, speaker, emotion, doubtful, segment}; text includes the space before it. */
export function wordsOf(result) {
  const feelings = result.emo?.segments ?? [];
  const labels = result.emo?.items?.map(item => item.label) ?? [];
  const of = (word, index) => {
    if (result.emo?.level === "word") return labels[index];
    const middle = (word.start + word.end) / 2;
    const found = feelings.findIndex(feeling => feeling.start <= middle && middle <= feeling.end
      && (!feeling.speaker || feeling.speaker === word.speaker));
    return labels[found];
  };
  const words = result.tra.segments.flatMap((segment, number) => segment.words.map((word, place) => ({
    ...word, segment: number, text: result.tra.chunks[number].alternatives[0].words[place].word,
  })));
  return words.map((word, index) => ({...word, emotion: of(word, index)}));
}

/** Turns of speakers, and gaps (speech without words), in order of time. Each is {start, speaker, words}. */
export function turnsOf(words, gaps = []) {
  const turns = [];
  for (const word of words) {
    const last = turns.at(-1);
    const long = last && last.words.length >= MOST_WORDS && last.words.at(-1).segment !== word.segment;
    if (!last || long || last.speaker !== word.speaker)
      turns.push({start: word.start, speaker: word.speaker, words: [word]});
    else last.words.push(word);
  }
  const missing = gaps.map(gap => ({start: gap.start, speaker: null, words: []}));
  return [...turns, ...missing].sort((one, other) => one.start - other.start);
}

/** Format seconds as minutes and seconds. */
export const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function mostly(words) {
  const counts = new Map();
  for (const {emotion} of words) if (emotion) counts.set(emotion, (counts.get(emotion) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0];
}

function shownWord(word) {
  const shown = element("span", "word", word.text.trim());
  if (word.emotion) shown.dataset.emotion = word.emotion;
  if (word.doubtful) {
    shown.dataset.doubtful = "";
    shown.title = "probably not said";
  }
  return shown;
}

function shownTurn(turn, spans) {
  const who = element("div", "who");
  const time = element("button", "time", clock(turn.start));
  time.type = "button";
  time.dataset.start = turn.start;
  time.setAttribute("aria-label", `Play from ${clock(turn.start)}`);
  who.append(time);
  if (turn.speaker) who.append(element("span", "speaker", turn.speaker));
  const feeling = mostly(turn.words);
  if (feeling) {
    const label = element("span", "emotion", feeling);
    label.dataset.emotion = feeling;
    who.append(label);
  }
  const said = element("p", turn.words.length ? "said" : "gap", turn.words.length ? "" : "(could not be transcribed)");
  said.dir = "auto";
  for (const word of turn.words) {
    const shown = shownWord(word);
    said.append(word !== turn.words[0] && word.text.startsWith(" ") ? " " : "", shown);
    spans.push(shown);
  }
  const box = element("div", "turn");
  box.append(who, said);
  return box;
}

function isSeen(shown) {
  if (!shown) return true;
  const {top, bottom} = shown.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** The transcript in `box`. It highlights the words that `audio` plays, and seeks by mouse and keys. */
export class Transcript {
  #lit = -1;
  #wanted = null; // seconds to seek to after the current seek; players may stall if they get several at once

  constructor(box, audio) {
    this.box = box;
    this.audio = audio;
    this.words = [];
    this.spans = [];
    this.order = []; // indexes of words by time: people may speak at the same time
    this.firsts = []; // indexes of the words that turns begin with
    box.addEventListener("click", event => this.#clicked(event.target));
    box.addEventListener("keydown", event => this.#key(event));
    audio.addEventListener("play", () => this.#follow());
    audio.addEventListener("seeked", () => this.#seek(this.#wanted));
    for (const name of ["seeking", "timeupdate"]) audio.addEventListener(name, () => this.#light());
  }

  /** Show turns with their words. `language` is an ISO 639-1 code, for screen readers. */
  show(turns, language) {
    this.words = turns.flatMap(turn => turn.words);
    this.spans = [];
    const byTime = (one, other) => this.words[one].start - this.words[other].start;
    this.order = this.words.map((_, index) => index).sort(byTime);
    this.firsts = turns.filter(turn => turn.words.length).map(turn => this.words.indexOf(turn.words[0]));
    this.#lit = -1;
    this.#wanted = null;
    const boxes = turns.map(turn => shownTurn(turn, this.spans));
    if (language) for (const box of boxes) box.lastChild.lang = language;
    this.box.replaceChildren(...boxes);
  }

  #follow() {
    this.#light();
    if (!this.audio.paused) requestAnimationFrame(() => this.#follow());
  }

  /** Highlight the current word. If several begin together, one that is highlighted already stays so. */
  #light() {
    const index = this.#at(this.#wanted ?? this.audio.currentTime);
    if (this.words[index]?.start !== this.words[this.#lit]?.start) this.#mark(index);
  }

  #mark(index) {
    const reading = isSeen(this.spans[this.#lit]); // false if the user has scrolled elsewhere
    this.spans[this.#lit]?.removeAttribute("aria-current");
    this.spans[index]?.setAttribute("aria-current", "true");
    if (reading && !this.audio.paused) this.spans[index]?.scrollIntoView({block: "nearest"});
    this.#lit = index;
  }

  /** Index of the last word that begins at or before a time; -1 if there is none. */
  #at(seconds) {
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[this.order[middle]].start <= seconds + 0.001) low = middle + 1;
      else high = middle;
    }
    return this.order[low - 1] ?? -1;
  }

  #go(index) {
    const there = Math.max(0, Math.min(index, this.words.length - 1));
    if (!this.words.length) return;
    this.#seek(this.words[there].start);
    this.#mark(there);
  }

  #seek(seconds) {
    this.#wanted = this.audio.seeking ? seconds : null;
    if (seconds !== null && !this.audio.seeking) this.audio.currentTime = seconds;
  }

  #clicked(target) {
    const word = target.closest(".word");
    const time = target.closest(".time");
    if (word && !getSelection().toString()) this.#go(this.spans.indexOf(word));
    else if (time) this.#seek(Number(time.dataset.start));
    else return;
    this.#play();
  }

  #play() {
    this.audio.play().catch(() => {}); // the words are useful without a playable recording
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = this.firsts.find(first => first > this.#lit) ?? this.#lit;
    const before = this.firsts.findLast(first => first < this.#lit) ?? 0;
    const places = {ArrowRight: this.#lit + 1, ArrowLeft: this.#lit - 1, ArrowDown: next, ArrowUp: before};
    if (event.key in places) this.#go(places[event.key]);
    else if (event.key === " " && event.target === this.box) this.audio.paused ? this.#play() : this.audio.pause();
    else return;
    event.preventDefault();
  }
}
