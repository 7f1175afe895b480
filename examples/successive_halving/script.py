"""The same as a script, which is told where the checkpoint is."""

import argparse
from pathlib import Path

from network import train

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--width", type=int, required=True)
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--checkpoint", type=Path, required=True)
options = parser.parse_args()
print(train(options.lr, options.width, options.epochs, options.checkpoint))
