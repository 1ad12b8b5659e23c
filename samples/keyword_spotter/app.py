"""Hears the ten English digits: microphone or recordings in, a line for every word out.

python -m samples.keyword_spotter.app --bundle keyword_spotter.bundle --replay clips
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import edgehybrid as eh
from samples.common.answers import Answers
from samples.common.app import main, make_parser, open_engine, summary
from samples.common.inbox import Inbox
from samples.common.service import Service, arriving
from samples.common.source import Feed, Source
from samples.keyword_spotter.features import Float32Array
from samples.keyword_spotter.microphone import Microphone
from samples.keyword_spotter.stream import LogMelStream, WordCutter
from samples.keyword_spotter.wav_folder import WavFolder

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAITING_CHUNKS = 20  # 2 s: a word that is answered later is of no use
LEAST_SURE = 0.6


def spot(engine: eh.Engine, inbox: Inbox[Float32Array], service: Service, answers: Answers) -> None:
    """Answer every word that comes, until the sound ends or the service shall."""
    front, cutter = LogMelStream(), WordCutter()
    for chunk in arriving(inbox, service):
        for word in cutter.feed(front.feed(chunk)):
            result = engine.run({"x": word[None]})
            give(result, answers)


def give(result: eh.Result, answers: Answers) -> None:
    """Say which word it was, and how sure the model is."""
    logits = result.outputs["y"][0]
    shares = np.exp(logits - logits.max())
    best, sure = int(logits.argmax()), float(shares.max() / shares.sum())
    word = WORDS[best] if sure >= LEAST_SURE else "?"
    answers.give(
        f"{word:6} {sure:4.0%}  {result.point}, {result.latency_ms:.1f} ms",
        word=word,
        sure=round(sure, 4),
        logits=[round(float(value), 5) for value in logits],
        point=result.point,
        depth=result.depth,
        latency_ms=round(result.latency_ms, 3),
    )


def run(args: argparse.Namespace, service: Service) -> None:
    """Run the app."""
    source: Source[Float32Array] = Microphone(args.device)
    inbox: Inbox[Float32Array] = Inbox("queue", size=WAITING_CHUNKS)
    if args.replay is not None:
        source = WavFolder(args.replay, realtime=args.realtime, repeat=args.repeat)
        inbox = Inbox("queue" if args.realtime else "wait", size=WAITING_CHUNKS)
    answers = Answers(args.answers)
    with open_engine(args, deadline_ms=args.deadline) as engine, Feed(source, inbox) as feed:
        service.ready()
        service.status(f"listening to {source.name}")
        spot(engine, inbox, service, answers)
        print(summary(answers, inbox, feed, engine), file=sys.stderr)
    if feed.failure is not None:
        raise feed.failure


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = make_parser(
        "Hears the ten English digits.", replay="a wav file or a folder of them (8 kHz, 16 bit, mono)"
    )
    options.add_argument("--device", help="sound card, by name or number (arecord -L)")
    options.add_argument("--deadline", type=float, default=100.0, metavar="MS", help="for an answer (default: 100)")
    options.add_argument("--realtime", action="store_true", help="replay at the pace of the clock")
    options.add_argument("--repeat", type=int, default=1, help="replay so often")
    return options


if __name__ == "__main__":
    sys.exit(main(run, parser()))
