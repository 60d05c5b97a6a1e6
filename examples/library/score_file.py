"""Score a recording: python score_file.py BUNDLE RECORDING"""

import sys

import auscult

bundle = auscult.load_bundle(sys.argv[1])
result = auscult.score(bundle, sys.argv[2])
verdict = "anomalous" if result.anomalous else "normal"
print(f"{result.file}: {verdict}, score {result.score:.2f} of {result.threshold:.2f}")
