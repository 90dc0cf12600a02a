// Runs in the browser's audio thread: converts the microphone's sound to pieces of mono PCM16 at 16 kHz.

const RATE = 16_000;
const PIECE = 4800; // samples, 0.3 s

class Recorder extends AudioWorkletProcessor {
  #piece = new Int16Array(PIECE);
  #length = 0;
  #sum = 0;
  #count = 0;
  #position = 0;
  #ended = false;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#post();
      this.port.postMessage(null);
      this.#ended = true;
    };
  }

  process([[samples]]) {
    for (const sample of samples ?? []) this.#take(sample);
    return !this.#ended;
  }

  /** The mean of the input samples of each output sample; at equal rates, the samples themselves. */
  #take(sample) {
    this.#sum += sample;
    this.#count += 1;
    this.#position += RATE / sampleRate;
    if (this.#position < 0.999999) return;
    this.#position -= 1;
    this.#piece[this.#length++] = Math.round(Math.max(-1, Math.min(this.#sum / this.#count, 1)) * 32_767);
    this.#sum = this.#count = 0;
    if (this.#length === PIECE) this.#post();
  }

  #post() {
    if (!this.#length) return; // an empty piece would end the speech
    this.port.postMessage(this.#piece.slice(0, this.#length).buffer);
    this.#length = 0;
  }
}

registerProcessor("recorder", Recorder);
