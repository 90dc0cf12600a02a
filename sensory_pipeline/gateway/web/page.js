// The page: a form, its progress, and its result.

import {LiveSpeech} from "./live.js";
import {cancelled, finished, isOpen, jobOf, Problem, processed, useKey} from "./service.js";
import {srt, vtt} from "./subtitles.js";
import {Transcript, clock, turnsOf, wordsOf} from "./transcript.js";

const LONG_S = 120; // longer recordings become background jobs
const LARGE_BYTES = 8e6; // larger ones do if the browser does not know their length
const METADATA_MS = 3000;
const STATES = {
  queued: "Waiting for its turn. You can close this page and come back to its address.",
  processing: "Transcribing. You can close this page and come back to its address.",
  unreachable: "The service does not answer at the moment. The job goes on when it is back.",
};

const at = id => document.getElementById(id);
const audio = at("audio");
const transcript = new Transcript(at("turns"), audio);
let running = null; // cancels the current request
let live = null; // the live recording

// The request

function settings(tasks, speakers) {
  const emotions = at("emotions").value;
  if (emotions !== "none") tasks.push("emotion");
  if (speakers !== "none") tasks.push("diarization");
  return {
    tasks,
    tra: {language: at("language").value},
    dia: {stereo_mode: speakers === "channels"},
    ...(emotions === "none" ? {} : {emo: {analysis_level: emotions}}),
  };
}

/** Ask for a key until the service knows it. */
async function admitted() {
  while (!(await isOpen())) {
    at("key-dialog").returnValue = "";
    at("key-dialog").showModal();
    await new Promise(resolve => at("key-dialog").addEventListener("close", resolve, {once: true}));
    if (at("key-dialog").returnValue !== "use")
      throw new Problem("A key is needed", "Load this page again and enter a key that the service knows.");
    useKey(at("key").value.trim());
    at("key").value = "";
    at("key-problem").textContent = "The service does not know this key.";
  }
}

// The display

function told(status, part = null) {
  if (at("status").textContent !== status) at("status").textContent = status; // so that a screen reader reads it once
  at("progress").hidden = part === null;
  if (part !== null) at("progress").value = part;
}

function failed(error) {
  const title = document.createElement("strong");
  title.textContent = error.title ?? "Something unexpected happened";
  at("problem").replaceChildren(title, document.createElement("br"), error.message);
}

/** Clear the page for a new recording. */
function cleared() {
  at("problem").replaceChildren();
  at("live").hidden = at("result").hidden = true;
  audio.pause();
}

function play(recording) {
  if (audio.src) URL.revokeObjectURL(audio.src);
  at("mute").hidden = true;
  audio.hidden = !recording;
  if (recording) audio.src = URL.createObjectURL(recording);
  else audio.removeAttribute("src");
}

function download(id, name, type, text) {
  if (at(id).href) URL.revokeObjectURL(at(id).href);
  at(id).href = URL.createObjectURL(new Blob([text], {type}));
  at(id).download = `${name}.${id}`;
}

function show(result, name) {
  const words = wordsOf(result);
  const turns = turnsOf(words, result.tra.gaps);
  const speakers = result.dia?.speakers.length;
  const {language} = result.tra;
  const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  const facts = [counted(words.length, "word"), speakers && counted(speakers, "speaker"),
    language && new Intl.DisplayNames("en", {type: "language"}).of(language), words.length && clock(words.at(-1).end)];
  at("summary").textContent = [name, ...facts.filter(Boolean)].join(" · ");
  transcript.show(turns, language);
  download("json", name, "application/json", JSON.stringify(result, null, 2));
  download("srt", name, "application/x-subrip", srt(turns));
  download("vtt", name, "text/vtt", vtt(turns));
  at("result").hidden = false;
  told(words.length ? "Done." : "Done: nothing was said.");
}

// A file

/** Whether a recording should be a background job. */
async function isLong(file) {
  play(file);
  await new Promise(resolve => {
    for (const name of ["loadedmetadata", "error"]) audio.addEventListener(name, resolve, {once: true});
    setTimeout(resolve, METADATA_MS); // some phones load nothing until the user plays it
  });
  return Number.isNaN(audio.duration) ? file.size > LARGE_BYTES : audio.duration > LONG_S;
}

async function resultOf(file, signal) {
  const long = await isLong(file);
  const request = {settings: settings(["transcribe"], at("speakers").value), async_process: long};
  const sending = part => (part < 1 ? told("Sending.", part) : told("Sent. The service transcribes."));
  sending(0);
  const answer = await processed(file, request, signal, sending);
  return long ? jobResult(answer.job_id, signal) : answer.result;
}

async function jobResult(id, signal) {
  history.replaceState(null, "", `#${id}`);
  signal.addEventListener("abort", () => cancelled(id).catch(failed));
  return finished(id, signal, state => told(STATES[state]));
}

/** Run `work` until it is done or the button cancels it, and show its result. */
async function run(name, work) {
  const controller = running = new AbortController();
  cleared();
  busy(at("send"), "Cancel", at("record"));
  try {
    await admitted();
    show(await work(controller.signal), name);
  } catch (error) {
    told(controller.signal.aborted ? "Cancelled." : "");
    if (!controller.signal.aborted) failed(error);
  } finally {
    running = null;
    busy(at("send"), "Transcribe", null);
  }
}

/** Set the label of a button, and disable the other one. */
function busy(button, label, other) {
  button.textContent = label;
  for (const each of [at("send"), at("record")]) each.disabled = each === other;
  at("file").disabled = other !== null;
}

function send() {
  const file = at("file").files[0];
  history.replaceState(null, "", location.pathname);
  run(file.name, signal => resultOf(file, signal));
}

/** Show a job whose address was opened again. Its recording is not available, but its result is. */
function resume(id) {
  play(null);
  run("recording", async signal => {
    const job = await jobOf(id, signal);
    return job.result ?? jobResult(id, signal);
  });
}

// The microphone

async function record() {
  cleared();
  at("final").replaceChildren();
  at("partial").textContent = "";
  const speech = live = new LiveSpeech(settings(["transcribe"], "none"), heard);
  busy(at("record"), "Stop", at("send"));
  try {
    await admitted();
    await speech.start();
    at("live").hidden = false;
    told("Listening.");
    const problem = await speech.ended;
    at("live").hidden = true;
    play(speech.recording);
    show(speech.result, "live");
    if (problem) failed(problem);
  } catch (error) {
    told("");
    failed(error);
  } finally {
    live = null;
    busy(at("record"), "Record", null);
  }
}

/** Add final words, which screen readers announce; partial words replace the previous ones. */
function heard(message) {
  if (message.text) {
    const words = document.createElement("span");
    words.textContent = message.words.map(word => word.word).join("");
    at("final").append(words);
  }
  if (message.partial) at("partial").textContent = message.partial.map(word => word.word).join("");
}

// Events

at("request").addEventListener("submit", event => {
  event.preventDefault();
  if (running) running.abort();
  else send();
});
at("record").addEventListener("click", () => {
  if (!live) record();
  else if (live.silence) {
    told("Finishing the last words.");
    live.stop();
  }
});
audio.addEventListener("error", () => {
  if (audio.src) at("mute").hidden = audio.hidden = false;
});
for (const name of ["dragover", "dragleave", "drop"])
  document.addEventListener(name, event => {
    event.preventDefault();
    document.querySelector(".drop").classList.toggle("over", name === "dragover");
  });
document.addEventListener("drop", event => {
  if (!event.dataTransfer.files.length || running || live) return;
  at("file").files = event.dataTransfer.files;
  send();
});

addEventListener("hashchange", () => {
  if (location.hash && !running && !live) resume(location.hash.slice(1));
});

if (location.hash) resume(location.hash.slice(1));
else admitted().catch(failed);
