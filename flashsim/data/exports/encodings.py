"""Which encoding a text is in: a mark at its beginning, UTF-8 where it is valid, else what its bytes look like.

    bytes                                            encoding
    EF BB BF, FF FE, FE FF                           UTF-8, UTF-16 (the mark)
    every second byte is zero                        UTF-16 without a mark
    valid UTF-8                                      UTF-8
    high bytes stand alone among letters             Western: Windows-1252, ISO 8859-1 where it has no such byte
    high bytes stand in pairs of common characters   GB 18030, of which GBK and GB 2312 are parts
    anything else                                    what charset-normalizer finds among the usual ones, else asked for

Other single-byte alphabets of Western letters (Polish, Turkish) look the same: what was detected is told, and
``format: {encoding: …}`` states another one.
"""

import re
from typing import Final

from flashsim.errors import InputError
from flashsim.shown import brief

ENCODINGS: Final = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "ascii"),
    *("gbk", "gb2312", "gb18030", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949"),
    *("latin-1", "iso-8859-1", "iso-8859-2", "iso-8859-15", "koi8-r", "mac_roman"),
    *(f"cp125{number}" for number in range(9)),
)
"""Those that a mapping may state."""
MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_HIGH: Final = re.compile(b"[\x80-\xff]+")
_UNDEFINED_IN_1252: Final = re.compile(b"[\x81\x8d\x8f\x90\x9d]")
_CANDIDATES: Final = ["gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1251", "cp1252", "cp1250", "cp1253"]
LONGEST_SAMPLE: Final = 65_536


def check_encoding(name: str, *, what: str) -> str:
    """``name`` as Python knows it; InputError for one that is not text as exports are."""
    plain = name.strip().lower().replace("windows-", "cp")
    known = {one.replace("-", "").replace("_", ""): one for one in ENCODINGS}
    found = known.get(plain.replace("-", "").replace("_", ""))
    if found is None:
        raise InputError(f"{what}: {brief(name)} is not an encoding that is read; known are {', '.join(ENCODINGS)}")
    return found


def marked_encoding(first: bytes) -> str | None:
    """The encoding that the first bytes of a file show by a mark or by their zeros; None where they do not."""
    for mark, encoding in MARKS:
        if first.startswith(mark):
            return encoding
    head = first[: 4096 - len(first[:4096]) % 2]
    if len(head) >= 4:
        odd, even = head[1::2].count(0) / (len(head) / 2), head[0::2].count(0) / (len(head) / 2)
        if odd > 0.4 and even < 0.1:
            return "utf-16-le"
        if even > 0.4 and odd < 0.1:
            return "utf-16-be"
    return None


def guess_encoding(sample: bytes) -> str | None:
    """The encoding of ``sample``, lines that are not UTF-8; None where nothing fits."""
    runs = _HIGH.findall(sample)
    if not runs:
        return None
    alone = sum(len(run) == 1 for run in runs) / len(runs)
    if alone >= 0.7:
        return "latin-1" if _UNDEFINED_IN_1252.search(sample) else "cp1252"
    pairs = [run[place : place + 2] for run in runs for place in range(0, len(run) - 1, 2)]
    words = [pair for pair in pairs if not (0xA1 <= pair[0] <= 0xA9 and pair[1] >= 0xA1)]  # without signs such as ￥
    common = sum(0xB0 <= pair[0] <= 0xD7 and pair[1] >= 0xA1 for pair in words) / max(len(words), 1)
    if (common >= 0.7 or not words) and _decodes(sample, "gb18030"):
        return "gb18030"
    from charset_normalizer import from_bytes  # noqa: PLC0415 - only needed here, and slow to import

    best = from_bytes(sample[:LONGEST_SAMPLE], cp_isolation=_CANDIDATES).best()
    return None if best is None else str(best.encoding)


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError as error:
        return error.end >= len(sample) - 4  # the sample may end within a character
    return True
