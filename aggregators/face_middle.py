"""What the descriptors of all faces have in common, made without a trained network: a few faces do not tell.

It is the mean over the 200 portraits of 20 people of the ORL database (AT&T Laboratories Cambridge), rounded.
"""

from __future__ import annotations

import base64

_TEXT = (
    "DgQI+AsD9AoR6Qoa+QIK6CACAgv3+goEBPQEB/Tv/u4I7gwf+//8CRQREeL+7Qr2BuMFAB777fXwCB8KDw3w9fj7COjs9RsDBgQD+fr/EBoJ5A"
    "ETEPwKDgP3HfQZA/UC/f4H9uAUBuwTHAsC8+7sBOwG4gHm/Arp8/Dh8wH3BvQWEukj+/YE7QUB+vv+9vwU/Rrv9/oHEfwNDOYC/fca9enu+QAB"
    "B+73BfD84P8GChH4+gINBQcMFv4C8e0B6e8LAAf/+AL7CfoSAxcVGRAaAf0AAAnsBRn8C9XnAgT3IAYYEgvqB/Lt9/4PBvQC4wXxBff+8QLu+x"
    "P39BEPCf7/8/IrFw/t5/EB8v/yAgUD9+zv/gQP+vQO6PEPCAn5AgsL7xP+AQP7HPYXI/8G9f8O+Q4KBRn8BfwFAt0RAwYCFPQHEP3o9uoRGvb8"
    "AhYRCA/2DAHqGvHkC/X1/Pf88wX2HArsEQP9DfQa5f39B/gHIhMP/ucG5SQV9+vnB+8C/wfiE/r1DQIKAfb9Bg8D6+UWAvEA8+P3ExsVGx4IAO"
    "wOH/z6BA/8IA8NDwoRBOzuEvAE+QoV+vkE8vYRCBca7wHzDhEABvfz8w0a7Ar/+g0F9QYUAQ7oGe0T8wf+CfQT3gL+AP4C9vEHERkS+gn5/QD5"
    "/gMFEvr26wLqFAgD8RMa7RE="
)

MIDDLE = base64.b64decode(_TEXT)
"""512 numbers of one byte, as ``face_descriptors.numbers`` gives them."""
FACES = 5
"""It counts as so many faces. With it, three to eight portraits of one person alone are 2 to 5 groups, without it 3 to
6. From 8 on, two people may be one group whose pictures are of another kind, as those that a program has drawn."""
