// Live speech from the microphone over WS /v1/ws (docs/live.md).

import {Problem, liveSocket} from "./service.js";

const RATE = 16_000;
const RESUMED_MS = 28_000; // the service keeps a session for 30 s
const FRAME_BYTES = 1 << 19;
const SENTENCE = /[.?!。？！]["'”»)]*$/;
const PAUSE_S = 1;

/** Record from the microphone and call `heard` with each piece. Returns a function that stops it. Throws Problem. */
async function microphone(heard) {
  if (!navigator.mediaDevices)
    throw new Problem("The browser gives no microphone to this page", "Open it as http://localhost or over HTTPS.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1}});
  } catch (error) {
    throw new Problem("The microphone cannot be used", `Allow it for this page and try again (${error.message}).`);
  }
  const close = async context => {
    for (const track of stream.getTracks()) track.stop();
    await context?.close();
  };
  try {
    const {context, source} = sourceOf(stream);
    await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
    const node = new AudioWorkletNode(context, "recorder", {channelCount: 1, channelCountMode: "explicit"});
    const ended = new Promise(resolve => {
      node.port.onmessage = ({data}) => (data ? heard(data) : resolve());
    });
    source.connect(node).connect(context.destination); // unconnected nodes do not run; the output is silence
    await context.resume();
    return async () => {
      node.port.postMessage("end");
      await ended;
      await close(context);
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** An audio context at the service's sample rate; if the browser cannot do that, the recorder converts. */
function sourceOf(stream) {
  const context = new AudioContext({sampleRate: RATE});
  try {
    return {context, source: context.createMediaStreamSource(stream)};
  } catch {
    context.close();
    const own = new AudioContext();
    return {context: own, source: own.createMediaStreamSource(stream)};
  }
}

/** One live recording. `settings` are those of the request; `heard` is called with each message of the service. */
export class LiveSpeech {
  #name = "";
  #sound = [];
  #number = 0; // number of the last message with final words
  #words = [];
  #feelings = [];
  #sending = false; // whether the connection can take sound now
  #stopped = false;
  #lostAt = null;
  #error = "";

  constructor(settings, heard) {
    this.settings = settings;
    this.heard = heard;
    this.ended = new Promise(resolve => (this.end = resolve));
  }

  /** Begin. The promise `ended` gives null at the end, or the Problem that ended it. Throws Problem. */
  async start() {
    this.silence = await microphone(piece => this.#take(piece));
    this.#name = crypto.randomUUID();
    this.#connect(`session=${this.#name}`);
    this.ended.then(() => this.#release());
  }

  /** Stop recording; the service finishes its words. */
  async stop() {
    await this.#release();
    this.#stopped = true;
    if (this.#sending) this.socket.send("END_STREAM");
  }

  /** The words, in the form of a file's result. */
  get result() {
    const segments = sentences(this.#words);
    const plain = word => ({
      start: word.start, end: word.end, word: word.word.trim(), probability: word.confidence, speaker: null,
    });
    const of = words => ({start: words[0].start, end: words.at(-1).end, text: text(words), words: words.map(plain)});
    const chunks = segments.map(words => ({alternatives: [{words}], channelTag: "1"}));
    const {language} = this.settings.tra;
    return {
      tra: {
        text: text(this.#words),
        language: language === "auto" ? null : language,
        segments: segments.map(of),
        chunks,
      },
      dia: null,
      emo: this.#feelings.length ? {level: "sentence", items: this.#feelings, segments: this.#feelings} : null,
    };
  }

  /** The recording as a WAVE file. */
  get recording() {
    const sound = new Blob(this.#sound);
    const header = new DataView(new ArrayBuffer(44));
    const name = (place, letters) =>
      [...letters].forEach((letter, at) => header.setUint8(place + at, letter.charCodeAt(0)));
    const four = (place, value) => header.setUint32(place, value, true);
    name(0, "RIFF");
    four(4, 36 + sound.size);
    name(8, "WAVEfmt ");
    four(16, 16);
    four(20, 0x10001); // PCM, one channel
    four(24, RATE);
    four(28, RATE * 2);
    four(32, 0x100002); // two bytes per sample, 16 bits
    name(36, "data");
    four(40, sound.size);
    return new Blob([header, sound], {type: "audio/wav"});
  }

  async #release() {
    const silence = this.silence;
    this.silence = null;
    await silence?.();
  }

  #take(piece) {
    this.#sound.push(piece);
    if (this.#sending) this.socket.send(piece);
  }

  #connect(query) {
    this.socket = liveSocket(query);
    this.socket.onopen = () => {
      this.socket.send(JSON.stringify({settings: this.settings}));
      if (query.startsWith("session")) this.#sendFrom(0);
    };
    this.socket.onmessage = ({data}) => this.#read(JSON.parse(data));
    this.socket.onclose = event => this.#closed(event);
  }

  #sendFrom(bytes) {
    const sound = new Blob(this.#sound);
    for (let place = bytes; place < sound.size; place += FRAME_BYTES)
      this.socket.send(sound.slice(place, place + FRAME_BYTES));
    if (this.#stopped) this.socket.send("END_STREAM");
    this.#sending = true;
  }

  #read(message) {
    if (message.session) {
      this.#lostAt = null;
      this.#sendFrom(message.received);
      return;
    }
    this.#number = message.number ?? this.#number;
    if (message.error) {
      this.#error = message.error;
      return;
    }
    this.#words.push(...message.words);
    if (message.emotional) this.#feelings.push(feeling(message));
    this.heard(message);
  }

  #closed({code, reason}) {
    const begun = this.#sending || this.#lostAt !== null;
    this.#sending = false;
    if (code === 1000) this.end(this.#error ? new Problem("A part could not be transcribed", this.#error) : null);
    else if (code !== 1006 || !begun) this.end(refusal(code, reason || this.#error));
    else {
      this.#lostAt ??= Date.now();
      if (Date.now() - this.#lostAt > RESUMED_MS) this.end(refusal(code, ""));
      else setTimeout(() => this.#connect(`resume=${this.#name}&after=${this.#number}`), 1000);
    }
  }
}

function refusal(code, reason) {
  if (code === 1006) return new Problem("The service cannot be reached", "Check that it runs, then record again.");
  const title = code === 4401 ? "A key is needed" : "The service ended the live speech";
  return new Problem(title, `${reason || `Close code ${code}`}.`);
}

function feeling({start, end, emotional}) {
  const [label] = Object.entries(emotional).sort((one, other) => other[1] - one[1])[0];
  return {start, end, label, emotional, scores: emotional};
}

function sentences(words) {
  const found = [];
  for (const word of words) {
    const last = found.at(-1)?.at(-1);
    if (!last || SENTENCE.test(last.word) || word.start - last.end > PAUSE_S) found.push([word]);
    else found.at(-1).push(word);
  }
  return found;
}

const text = words => words.map(word => word.word).join("").trim();
