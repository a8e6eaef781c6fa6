# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Lines of COPY put in the order of their keys: `postgres_parts.sorted_lines` in compiled code."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    _HEAD = 8  # bytes of a key that are compared as one number

cdef struct Line:
    uint64_t head
    const char* at
    const char* key
    const char* end


def sort_lines(bytes text, Py_ssize_t lines_per_piece):
    """All lines in the order of their last cells' bytes, so many at a time, and how many; each with its line break."""
    cdef const char* at = PyBytes_AS_STRING(text)
    cdef const char* end = at + PyBytes_GET_SIZE(text)
    cdef Py_ssize_t count = text.count(b"\n"), row, last
    cdef Line* lines = <Line*> malloc((2 * count + 1) * sizeof(Line))
    cdef Py_ssize_t* ends = <Py_ssize_t*> malloc((count + 1) * sizeof(Py_ssize_t))
    cdef Line* ordered
    cdef list pieces = []
    try:
        if lines == NULL or ends == NULL:
            raise MemoryError
        for row in range(count):
            lines[row].at = at
            lines[row].end = _end_of(at, end)
            lines[row].key = _last_cell(at, lines[row].end)
            lines[row].head = _head_of(lines[row].key, lines[row].end)
            at = lines[row].end + 1
        ordered = _sorted(lines, lines + count, ends, count)
        for row in range(0, count, lines_per_piece):
            last = row + lines_per_piece if row + lines_per_piece < count else count
            pieces.append((_joined(ordered + row, ordered + last), last - row))
        return pieces
    finally:
        free(lines)
        free(ends)


cdef inline const char* _last_cell(const char* at, const char* end) noexcept:
    while end > at and (end - 1)[0] != c"\t":
        end -= 1
    return end


cdef uint64_t _head_of(const char* at, const char* end) noexcept:
    """The first bytes of a key as a number that compares as they do; what is missing counts as zeros."""
    cdef uint64_t head = 0
    cdef int place
    for place in range(_HEAD):
        head = head << 8 | (<unsigned char> at[place] if at + place < end else 0)
    return head


cdef Line* _sorted(Line* lines, Line* spare, Py_ssize_t* ends, Py_ssize_t count) noexcept:
    """The lines in order, in one of two places: stretches that are in order, as most are that come, merged in pairs.

    There is room in `ends` for one more than there are lines.
    """
    cdef Py_ssize_t stretches = 0, merged, at, first, last, row
    for row in range(1, count):
        if _compare(&lines[row - 1], &lines[row]) > 0:
            ends[stretches] = row
            stretches += 1
    ends[stretches] = count
    stretches += 1
    while stretches > 1:
        merged = first = 0
        for at in range(0, stretches, 2):
            last = ends[at + 1] if at + 1 < stretches else ends[at]
            _merge(lines + first, lines + ends[at], lines + last, spare + first)
            ends[merged] = first = last
            merged += 1
        stretches = merged
        lines, spare = spare, lines
    return lines


cdef void _merge(const Line* one, const Line* other, const Line* stop, Line* to) noexcept:
    """Two stretches that follow one another; of lines with the same key, those of the first come first."""
    cdef const Line* end = other
    while one < end and other < stop:
        if _compare(one, other) <= 0:
            to[0] = one[0]
            one += 1
        else:
            to[0] = other[0]
            other += 1
        to += 1
    memcpy(to, one, (end - one) * sizeof(Line))
    memcpy(to + (end - one), other, (stop - other) * sizeof(Line))


cdef inline int _compare(const Line* a, const Line* b) noexcept nogil:
    cdef Py_ssize_t size = a.end - a.key, other_size = b.end - b.key
    cdef int found
    if a.head != b.head:
        return -1 if a.head < b.head else 1
    found = memcmp(a.key, b.key, size if size < other_size else other_size)
    return found if found else (size > other_size) - (size < other_size)


cdef bytes _joined(const Line* line, const Line* stop):
    cdef const Line* at = line
    cdef Py_ssize_t size = 0
    while at < stop:
        size += at.end + 1 - at.at
        at += 1
    cdef bytes joined = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(joined)
    while line < stop:
        memcpy(to, line.at, line.end + 1 - line.at)
        to += line.end + 1 - line.at
        line += 1
    return joined


cdef inline const char* _end_of(const char* at, const char* end) noexcept:
    """Where a line ends."""
    cdef const char* found = <const char*> memchr(at, c"\n", end - at)
    return end if found == NULL else found
