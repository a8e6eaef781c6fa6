# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Lines of COPY cut into keys and written as JSON objects: `copy_text` and `template` in compiled code.

Every byte is the one that those write. What is rare is left to them: None says that they have to do a block.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy

from tailrace.connector_kit.compiled import Found, Sifted

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(object)

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define first_bit(word) __builtin_ctzll(word)
    #define HAS_FIRST_BIT 1
    #else
    #define first_bit(word) 0
    #define HAS_FIRST_BIT 0
    #endif
    """
    bint _HAS_FIRST_BIT "HAS_FIRST_BIT"
    int _first_bit "first_bit"(uint64_t) noexcept

cdef enum How:  # in the order of `compiled.How`
    _BARE, _DIGITS, _TEXT, _TIME, _JSON, _GIVEN, _TRUTH

cdef enum:
    _MARKS = 4  # what quotation marks take, or what a NULL needs above its cell
    _ESCAPED = 6  # what a byte may take
    _LARGE = 1 << 20  # a line that takes no room for longer ones
    _HASH = 8  # bytes of a hash
    _BETWEEN = 3  # bytes that stand between two keys of an array
    _LONG_KEY = 1024  # bytes of a key that needs a closer look

cdef uint64_t _EACH = 0x0101010101010101  # one in each byte

cdef struct Field:
    const char* piece
    Py_ssize_t piece_size
    Py_ssize_t cell
    How how
    void* given

cdef struct Span:
    const char* at
    const char* end

cdef struct Writer:
    Field* fields
    int count
    Span* cells
    Py_ssize_t width
    const char* last
    Py_ssize_t last_size
    Py_ssize_t pieces
    char* line
    Py_ssize_t room


def cut_keys(bytes text, Py_ssize_t width, Py_ssize_t most_bytes):
    """The cells of each line behind the first `width`, as texts.

    None where one of them is NULL or has an escape, where a key is too long or that of the line before.
    """
    cdef const char* at = PyBytes_AS_STRING(text)
    cdef const char* end = at + PyBytes_GET_SIZE(text)
    cdef const char* stop
    cdef const char* before = at
    cdef Py_ssize_t size, size_before = -1, parts = 0
    cdef list keys = []
    while at < end:
        stop = _end_of(at, end, c"\n")
        if not parts:
            parts = _cells_behind(at, stop, width)
        at = _last_cells(at, stop, parts)
        size = stop - at
        if size > most_bytes or (size == size_before and memcmp(at, before, size) == 0):
            return None
        if memchr(at, c"\\", size) != NULL:
            return None
        key = _key(at, stop)
        # A tuple of texts is in no cycle: the collector would find out, a block at a time, and let it go too.
        PyObject_GC_UnTrack(key)
        keys.append(key)
        before, size_before = at, size
        at = stop + 1
    return keys


def write_keys(bytes text, Py_ssize_t width, Py_ssize_t most_bytes):
    """The cell of each line behind the first `width` as an array in JSON, and where in it each begins: 4 bytes.

    None where there is another cell behind it, or it would be escaped, and where `cut_keys` gives None.
    """
    cdef const char* at = PyBytes_AS_STRING(text)
    cdef const char* end = at + PyBytes_GET_SIZE(text)
    cdef const char* stop
    cdef const char* before = at
    cdef Py_ssize_t size, size_before = -1, count = text.count(b"\n") + 1
    if at == end or _cells_behind(at, _end_of(at, end, c"\n"), width) != 1:
        return None
    cdef bytes array = PyBytes_FromStringAndSize(NULL, end - at + _BETWEEN * count + 2)
    cdef bytes starts = PyBytes_FromStringAndSize(NULL, count * sizeof(uint32_t))
    cdef char* to = PyBytes_AS_STRING(array)
    cdef uint32_t* start = <uint32_t*> PyBytes_AS_STRING(starts)
    to[0] = c"["
    to += 1
    while at < end:
        stop = _end_of(at, end, c"\n")
        at = _last_cell(at, stop)
        size = stop - at
        if size > most_bytes or (size == size_before and memcmp(at, before, size) == 0):
            return None
        to[0] = c'"'
        start[0] = to + 1 - PyBytes_AS_STRING(array)
        to = _put_key(to + 1, at, stop)
        if to == NULL:
            return None
        to = _put(to, b'",', 2)
        start += 1
        before, size_before = at, size
        at = stop + 1
    (to - 1)[0] = c"]"
    size = to - PyBytes_AS_STRING(array)
    return array[:size], starts[:(start - <uint32_t*> PyBytes_AS_STRING(starts)) * sizeof(uint32_t)]


def cut_column(bytes text, Py_ssize_t column):
    """The cells of a column, as they stand."""
    cdef const char* at = PyBytes_AS_STRING(text)
    cdef const char* end = at + PyBytes_GET_SIZE(text)
    cdef const char* stop
    cdef list found = []
    while at < end:
        stop = _end_of(at, end, c"\n")
        at = _behind(at, stop, column)
        found.append(PyBytes_FromStringAndSize(at, _end_of(at, stop, c"\t") - at))
        at = stop + 1
    return found


def write_objects(bytes text, Py_ssize_t width, list fields, bytes last):
    """A JSON object for each line; None where one of them needs a closer look.

    Lines begin with `width` cells. A field is what stands before its value, the cell that it takes, how that is
    written, and where it is given, what to write for each line. `last` stands behind the last value.
    """
    cdef const char* at = PyBytes_AS_STRING(text)
    cdef const char* end = at + PyBytes_GET_SIZE(text)
    cdef const char* stop
    cdef Py_ssize_t row = 0
    cdef Writer writer
    cdef list objects = []
    _open(&writer, width, fields, last)
    try:
        _plan(&writer, fields)
        while at < end:
            stop = _end_of(at, end, c"\n")
            body = _object(&writer, at, stop, row)
            if body is None:
                return None
            objects.append(body)
            at = stop + 1
            row += 1
        return objects
    finally:
        _close(&writer)


def sift(bytes text, Py_ssize_t start, Py_ssize_t width, list fields, bytes last, known, hashed):
    """Compare lines from a place in the text on with what is known, until one of both ends or needs a closer look.

    Lines have one cell behind the first `width`, their key; `hashed` makes the hash of an object. What is known is a
    `compiled.Known`, what is given a `Sifted`.
    """
    cdef Writer writer
    _open(&writer, width, fields, last)
    try:
        _plan(&writer, fields)
        return _sifted(text, start, known, &writer, hashed)
    finally:
        _close(&writer)


def sift_hashes(bytes text, Py_ssize_t start, known):
    """The same where the first cell of a line is the hash, a whole number, and the last one the key.

    Hashes are known in the order of bytes that the machine has; none is 0.
    """
    return _sifted(text, start, known, NULL, None)


cdef _sifted(bytes text, Py_ssize_t start, known, Writer* writer, hashed):
    """Without a writer lines bring their hash."""
    cdef bytes keys = known.array, hashes = known.hashes
    cdef Py_ssize_t place = known.place, entries = PyBytes_GET_SIZE(hashes) // _HASH, row = 0
    cdef const char* begin = PyBytes_AS_STRING(text)
    cdef const char* at = begin + start
    cdef const char* end = begin + PyBytes_GET_SIZE(text)
    cdef const char* stop
    cdef const char* array = PyBytes_AS_STRING(keys)
    cdef const char* entry = array + <Py_ssize_t> known.start
    cdef const char* array_end = array + PyBytes_GET_SIZE(keys) - 1
    cdef const char* told = PyBytes_AS_STRING(hashes)
    cdef Span key, other, before
    cdef int order
    cdef bint is_same
    cdef list found = []
    before.at = before.end = NULL
    if not (0 <= start <= end - begin and 0 <= known.start <= array_end + 1 - array and 0 <= place):
        raise ValueError("there is nothing to begin at")
    while at < end and place < entries:
        stop = _end_of(at, end, c"\n")
        key.at, key.end = _last_cell(at, stop), stop
        if key.end - key.at > _LONG_KEY or memchr(key.at, c"\\", key.end - key.at) != NULL:
            break
        if before.at != NULL and _compared(before, key) >= 0:
            break
        order = -1
        while place < entries:
            other = _known_key(entry, array_end)
            order = _compared(other, key)
            if order >= 0:
                break
            found.append(Found(row, at - begin, place, PyUnicode_DecodeUTF8(other.at, other.end - other.at, NULL)))
            entry, place = other.end + 2, place + 1
        if order < 0:
            break
        if writer != NULL:
            body = _object(writer, at, stop, row)
            if body is None:
                break
        if order > 0:
            found.append(Found(row, at - begin, -1, None))
        else:
            if writer == NULL:
                is_same = _has_hash(at, key.at - 1, told + place * _HASH)
            else:
                digest = hashed(body)
                if PyBytes_GET_SIZE(<bytes?> digest) != _HASH:
                    raise ValueError("a hash has another size")
                is_same = memcmp(PyBytes_AS_STRING(digest), told + place * _HASH, _HASH) == 0
            if not is_same:
                found.append(Found(row, at - begin, place, None))
            entry, place = other.end + 2, place + 1
        before = key
        at = stop + 1
        row += 1
    return Sifted(row, min(at, end) - begin, entry - array, place, found)


cdef inline bint _has_hash(const char* at, const char* stop, const char* told) noexcept:
    """Whether a cell is the whole number that is told, and that one is not 0, which stands for none."""
    cdef uint64_t number = 0, other
    cdef bint is_below = stop > at and at[0] == c"-"
    at += is_below
    while at < stop:
        number = number * 10 + <uint64_t> (at[0] - c"0")
        at += 1
    if is_below:
        number = -number
    memcpy(&other, told, sizeof(other))
    return number == other and number != 0


cdef int _open(Writer* writer, Py_ssize_t width, list fields, bytes last) except -1:
    writer.count = len(fields)
    writer.width = width
    writer.last = PyBytes_AS_STRING(last)
    writer.last_size = writer.pieces = PyBytes_GET_SIZE(last)
    writer.line = NULL
    writer.room = 0
    writer.fields = <Field*> malloc((writer.count + 1) * sizeof(Field))
    writer.cells = <Span*> malloc((width + 1) * sizeof(Span))
    return 0


cdef int _plan(Writer* writer, list fields) except -1:
    cdef int field
    if writer.fields == NULL or writer.cells == NULL:
        raise MemoryError
    for field in range(writer.count):
        writer.fields[field] = _planned(fields[field], writer.width)
        writer.pieces += writer.fields[field].piece_size
    return 0


cdef void _close(Writer* writer) noexcept:
    free(writer.fields)
    free(writer.cells)
    free(writer.line)


cdef bytes _object(Writer* writer, const char* at, const char* stop, Py_ssize_t row):
    """The JSON object of a line; None where it needs a closer look."""
    cdef Py_ssize_t needed = writer.pieces + writer.count * _MARKS
    cdef Field* field
    cdef char* to
    cdef int number
    _cut(at, stop, writer.cells, writer.width)
    for number in range(writer.count):
        field = &writer.fields[number]
        if field.how == _GIVEN:
            if row >= len(<list> field.given):
                raise ValueError("a column was given with too few values")
            needed += PyBytes_GET_SIZE(<bytes?> (<list> field.given)[row])
        else:
            needed += _ESCAPED * (writer.cells[field.cell].end - writer.cells[field.cell].at)
    if needed > writer.room:
        free(writer.line)
        writer.room = 2 * needed if needed < _LARGE else needed
        writer.line = <char*> malloc(writer.room)
        if writer.line == NULL:
            writer.room = 0
            return None
    to = writer.line
    for number in range(writer.count):
        field = &writer.fields[number]
        to = _put(to, field.piece, field.piece_size)
        if field.how == _GIVEN:
            given = <bytes> (<list> field.given)[row]
            to = _put(to, PyBytes_AS_STRING(given), PyBytes_GET_SIZE(given))
        else:
            to = _put_cell(to, writer.cells[field.cell], field.how)
            if to == NULL:
                return None
    to = _put(to, writer.last, writer.last_size)
    return PyBytes_FromStringAndSize(writer.line, to - writer.line)


cdef Span _known_key(const char* entry, const char* end) except *:
    """The text that stands in quotation marks there."""
    cdef Span key
    if end - entry < 2 or entry[0] != c'"':
        raise ValueError("fewer keys are known than hashes")
    key.at = entry + 1
    key.end = _end_of(key.at, end, c'"')
    return key


cdef inline int _compared(Span one, Span other) noexcept:
    cdef Py_ssize_t size = one.end - one.at, other_size = other.end - other.at
    cdef int found = memcmp(one.at, other.at, size if size < other_size else other_size)
    return found if found else (size > other_size) - (size < other_size)


cdef inline const char* _last_cell(const char* at, const char* end) noexcept:
    while end > at and (end - 1)[0] != c"\t":
        end -= 1
    return end


cdef const char* _last_cells(const char* at, const char* stop, Py_ssize_t cells) except NULL:
    """Where so many cells begin that a line ends with."""
    cdef const char* found = _last_cell(at, stop)
    while cells > 1:
        if found == at:
            raise ValueError("a line has too few cells")
        found = _last_cell(at, found - 1)
        cells -= 1
    return found


cdef Py_ssize_t _cells_behind(const char* at, const char* stop, Py_ssize_t width) except -1:
    """How many cells a line has behind the first so many."""
    cdef Py_ssize_t cells = 1
    at = _behind(at, stop, width)
    while True:
        at = _end_of(at, stop, c"\t")
        if at == stop:
            return cells
        at += 1
        cells += 1


cdef inline const char* _end_of(const char* at, const char* end, char what) noexcept:
    """Where the next of it stands, or the end."""
    cdef const char* found = <const char*> memchr(at, what, end - at)
    return end if found == NULL else found


cdef const char* _behind(const char* at, const char* stop, Py_ssize_t cells) except NULL:
    """Where the cell begins that stands behind so many."""
    cdef Py_ssize_t cell
    for cell in range(cells):
        at = _end_of(at, stop, c"\t") + 1
        if at > stop:
            raise ValueError("a line has too few cells")
    return at


cdef inline char* _put_key(char* to, const char* at, const char* stop) noexcept:
    """A text as it is; NULL where JSON would escape it."""
    cdef uint64_t word
    while stop - at >= <Py_ssize_t> sizeof(word):
        memcpy(&word, at, sizeof(word))
        if _has_odd(word):
            return NULL
        memcpy(to, &word, sizeof(word))
        at += sizeof(word)
        to += sizeof(word)
    while at < stop:
        if <unsigned char> at[0] < 32 or at[0] == c'"' or at[0] == c"\\":
            return NULL
        to[0] = at[0]
        at += 1
        to += 1
    return to


cdef _key(const char* at, const char* stop):
    cdef const char* end = _end_of(at, stop, c"\t")
    if end == stop:
        return (PyUnicode_DecodeUTF8(at, stop - at, NULL),)
    cdef list parts = []
    while end < stop:
        parts.append(PyUnicode_DecodeUTF8(at, end - at, NULL))
        at = end + 1
        end = _end_of(at, stop, c"\t")
    parts.append(PyUnicode_DecodeUTF8(at, stop - at, NULL))
    return tuple(parts)


cdef Field _planned(object given, Py_ssize_t width) except *:
    cdef Field field
    piece, cell, how, column = given
    field.piece = PyBytes_AS_STRING(<bytes?> piece)
    field.piece_size = PyBytes_GET_SIZE(piece)
    field.cell = cell
    field.how = how
    field.given = <void*> column
    if how != _GIVEN and not 0 <= field.cell < width:
        raise ValueError("a field takes a cell that no line has")
    if how == _GIVEN and not isinstance(column, list):
        raise TypeError("given cells are a list")
    return field


cdef int _cut(const char* at, const char* stop, Span* cells, Py_ssize_t width) except -1:
    cdef Py_ssize_t cell = 0
    cdef uint64_t word, tabs
    cdef const char* end
    if width <= 0:
        return 0
    cells[0].at = at
    # Eight bytes at a time while there are so many: most cells are short.
    while _HAS_FIRST_BIT and stop - at >= <Py_ssize_t> sizeof(word):
        memcpy(&word, at, sizeof(word))
        tabs = _tabs(word)
        while tabs:
            end = at + (_first_bit(tabs) >> 3)
            cells[cell].end = end
            cell += 1
            if cell == width:
                return 0
            cells[cell].at = end + 1
            tabs &= tabs - 1
        at += sizeof(word)
    while True:
        end = _end_of(at, stop, c"\t")
        cells[cell].end = end
        cell += 1
        if cell == width:
            return 0
        if end == stop:
            raise ValueError("a line has too few cells")
        cells[cell].at = at = end + 1


cdef inline uint64_t _tabs(uint64_t word) noexcept:
    """The highest bit of each byte that is a tab: https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord"""
    cdef uint64_t others = word ^ (_EACH * c"\t"), low = _EACH * 127
    return ~(((others & low) + low) | others | low)


cdef inline char* _put(char* to, const char* text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


cdef char* _put_cell(char* to, Span cell, How how) noexcept:
    """A cell as JSON; NULL where it needs a closer look."""
    cdef Py_ssize_t size = cell.end - cell.at
    if size == 2 and cell.at[0] == c"\\" and cell.at[1] == c"N":
        return _put(to, b"null", 4)
    if how == _TEXT:
        return _put_text(to, cell)
    if how == _TIME:
        return _put_time(to, cell)
    if how == _JSON:
        return _put_unescaped(to, cell)
    if how == _TRUTH:
        return _put(to, b"true", 4) if size and cell.at[0] == c"t" else _put(to, b"false", 5)
    if how == _DIGITS and (memchr(cell.at, c"N", size) != NULL or memchr(cell.at, c"y", size) != NULL):
        return NULL
    return _put(to, cell.at, size)


cdef char* _put_text(char* to, Span cell) noexcept:
    cdef const char* at = cell.at
    cdef unsigned char byte
    cdef uint64_t word
    to[0] = c'"'
    to += 1
    while at < cell.end:
        while cell.end - at >= <Py_ssize_t> sizeof(word):
            memcpy(&word, at, sizeof(word))
            if _has_odd(word):
                break
            memcpy(to, &word, sizeof(word))
            at += sizeof(word)
            to += sizeof(word)
        if at == cell.end:
            break
        byte = <unsigned char> at[0]
        if byte >= 32 and byte != c'"' and byte != c"\\":
            to[0] = byte
            to += 1
        elif byte == c"\\":
            at += 1
            # The others of its escapes are those of JSON.
            to = _put(to, b"\\u000b", 6) if at[0] == c"v" else _put(to, at - 1, 2)
        elif byte == c'"':
            to = _put(to, b'\\"', 2)
        elif byte == c"\b" or byte == c"\f" or byte == c"\r":
            # DuckDB leaves them as they are.
            to = _put(to, b"\\b" if byte == c"\b" else b"\\f" if byte == c"\f" else b"\\r", 2)
        else:
            to = _put(to, b"\\u00", 4)
            to[0] = b"0123456789abcdef"[byte >> 4]
            to[1] = b"0123456789abcdef"[byte & 15]
            to += 2
        at += 1
    to[0] = c'"'
    return to + 1


cdef inline bint _has_odd(uint64_t word) noexcept:
    """Whether one of eight bytes is a control character, a quote or a backslash, as texts seldom have them.

    By what is borrowed in a subtraction: https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord
    """
    cdef uint64_t quotes = word ^ (_EACH * c'"'), slashes = word ^ (_EACH * c"\\")
    cdef uint64_t odd = (word - _EACH * 32) & ~word
    odd |= (quotes - _EACH) & ~quotes
    odd |= (slashes - _EACH) & ~slashes
    return (odd & (_EACH << 7)) != 0


cdef char* _put_time(char* to, Span cell) noexcept:
    cdef Py_ssize_t size = cell.end - cell.at
    cdef const char* space = <const char*> memchr(cell.at, c" ", size)
    if memchr(cell.at, c"B", size) != NULL or memchr(cell.at, c"\\", size) != NULL:
        return NULL
    to[0] = c'"'
    to = _put(to + 1, cell.at, size)
    if space != NULL:
        (to - (cell.end - space))[0] = c"T"
        if size > 3 and memcmp(cell.end - 3, b"+00", 3) == 0:
            to -= 3
            to = _put(to, b"Z", 1)
    to[0] = c'"'
    return to + 1


cdef char* _put_unescaped(char* to, Span cell) noexcept:
    cdef const char* at = cell.at
    cdef char byte
    while at < cell.end:
        byte = at[0]
        if byte == c"\\":
            at += 1
            byte = at[0]
            if byte == c"b": byte = c"\b"
            elif byte == c"f": byte = c"\f"
            elif byte == c"n": byte = c"\n"
            elif byte == c"r": byte = c"\r"
            elif byte == c"t": byte = c"\t"
            elif byte == c"v": byte = c"\v"
        to[0] = byte
        to += 1
        at += 1
    return to
