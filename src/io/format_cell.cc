// SPDX-License-Identifier: Apache-2.0
//
// One value under one verb: AppendCell of row_format.h.
//
// Each verb first makes its text without a width, as a sign, a prefix (0x) and digits, or as plain text; Pad then
// brings it to the width. Width and the precision of text count characters (UTF-8), as in Go; a byte that is not UTF-8
// counts as one. What Go does in odd corners (%05s pads with zeros, %#08x does not count the 0x, %+v shows no sign) is
// done here too: testdata/printf.txt has Go's own answers.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "io/row_format.h"

namespace glim::io {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr int kPrecisionDefault = 6;

// Bytes of the character at the head of `text`, which is not empty; 1 and `valid` false for a byte that is not UTF-8.
size_t CharacterLength(std::string_view text, bool* valid) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  *valid = true;
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF && follows(1)) return 2;
  // No overlong forms, no surrogates, nothing above U+10FFFF.
  if (first >= 0xE0 && first <= 0xEF && follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) &&
      follows(2)) {
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4 && follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) &&
      follows(2) && follows(3)) {
    return 4;
  }
  *valid = false;
  return 1;
}

uint32_t DecodeCharacter(std::string_view character) {
  const auto bits = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(character[i])); };
  switch (character.size()) {
    case 2: return (bits(0) & 0x1F) << 6 | (bits(1) & 0x3F);
    case 3: return (bits(0) & 0x0F) << 12 | (bits(1) & 0x3F) << 6 | (bits(2) & 0x3F);
    case 4: return (bits(0) & 0x07) << 18 | (bits(1) & 0x3F) << 12 | (bits(2) & 0x3F) << 6 | (bits(3) & 0x3F);
    default: return bits(0);
  }
}

void AppendCharacter(uint32_t c, std::string* out) {
  const auto push = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6);
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12);
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18);
    push(0x80 | (c >> 12 & 0x3F));
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

// Of the first `count` characters, or of all; sets `counted` to how many there were.
size_t BytesOfCharacters(std::string_view text, int count, int* counted) {
  size_t at = 0;
  *counted = 0;
  bool valid;
  while (at < text.size() && *counted < count) {
    at += CharacterLength(text.substr(at), &valid);
    ++*counted;
  }
  return at;
}

std::string_view FirstCharacters(std::string_view text, int count) {
  int counted;
  return text.substr(0, BytesOfCharacters(text, count, &counted));
}

// Brings `text` to the width; `head` (sign, 0x) stays in front of zeros.
void Pad(const Verb& verb, std::string_view head, std::string_view text, bool zeros, std::string* out) {
  if (verb.width == 0) {
    *out += head;
    *out += text;
    return;
  }
  int length = 0;
  BytesOfCharacters(text, verb.width, &length);
  length += static_cast<int>(head.size());
  const size_t missing = verb.width > length ? static_cast<size_t>(verb.width - length) : 0;
  zeros = zeros && verb.zero && !verb.minus;
  if (!verb.minus && !zeros) out->append(missing, ' ');
  *out += head;
  if (zeros) out->append(missing, '0');
  *out += text;
  if (verb.minus) out->append(missing, ' ');
}

// Are these bytes a number from first to last? No spaces, no hexadecimal, no inf.
std::optional<Cell> ParseNumber(std::string_view bytes) {
  if (bytes.empty() || bytes.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return std::nullopt;
  const bool plus = bytes.size() > 1 && bytes[0] == '+' && bytes[1] != '-';
  const char* begin = bytes.data() + plus;
  const char* end = bytes.data() + bytes.size();
  int64_t whole = 0;
  if (const auto [rest, error] = std::from_chars(begin, end, whole); error == std::errc() && rest == end) {
    return Cell::Int64(whole);
  }
  double number = 0;
  if (const auto [rest, error] = std::from_chars(begin, end, number); error == std::errc() && rest == end) {
    return Cell::Double(number);
  }
  return std::nullopt;
}

std::optional<Cell> AsNumber(const Cell& cell) {
  if (cell.is_number()) return cell;
  return cell.type() == Type::kBytes ? ParseNumber(cell.as_bytes()) : std::nullopt;
}

std::optional<int64_t> AsInteger(const Cell& cell) {
  const std::optional<Cell> number = AsNumber(cell);
  if (!number) return std::nullopt;
  if (number->type() == Type::kInt64) return number->as_int64();
  const double d = number->as_double();
  if (d >= -kTwoTo63 && d < kTwoTo63 && d == std::trunc(d)) return static_cast<int64_t>(d);
  return std::nullopt;
}

Status Refuse(const Verb& verb, std::string_view wanted, const Cell& cell) {
  return Status::Invalid(fmt::format("{} takes {}, not {}", verb.ToString(), wanted, cell.ToDebugString()));
}

std::string_view Sign(const Verb& verb, bool negative) {
  return negative ? "-" : verb.plus ? "+" : verb.space ? " " : "";
}

Status AppendInteger(const Verb& verb, const Cell& cell, std::string* out) {
  const std::optional<int64_t> value = AsInteger(cell);
  if (!value) return Refuse(verb, "a whole number of 64 bits", cell);
  if (verb.letter == 'd' && verb.is_plain()) {
    fmt::format_to(std::back_inserter(*out), "{}", *value);
    return Status::Ok();
  }
  const int base = verb.letter == 'd' ? 10 : verb.letter == 'b' ? 2 : verb.letter == 'o' ? 8 : 16;
  const uint64_t magnitude = *value < 0 ? 0 - static_cast<uint64_t>(*value) : static_cast<uint64_t>(*value);
  char digits[64];
  char* end = std::to_chars(digits, digits + sizeof(digits), magnitude, base).ptr;
  if (verb.letter == 'X') {
    for (char* c = digits; c < end; ++c) *c = *c >= 'a' ? static_cast<char>(*c - 'a' + 'A') : *c;
  }
  std::string text(digits, end);
  if (verb.precision == 0 && *value == 0) {
    Pad(verb, "", "", false, out);
    return Status::Ok();
  }
  std::string head(Sign(verb, *value < 0));
  const int zeros_to =
      verb.precision < 0 && verb.zero && !verb.minus ? verb.width - static_cast<int>(head.size()) : verb.precision;
  if (zeros_to > static_cast<int>(text.size())) text.insert(0, zeros_to - text.size(), '0');
  if (verb.sharp) {
    if (base == 16) head += verb.letter == 'X' ? "0X" : "0x";
    if (base == 2) head += "0b";
    if (base == 8 && !text.starts_with('0')) text.insert(0, 1, '0');
  }
  Pad(verb, head, text, false, out);
  return Status::Ok();
}

// The shortest digits that read back as the same number, with an exponent when it is below -4 or above 5, as Go does.
std::string ShortestG(double magnitude, bool upper) {
  std::string text = fmt::format("{:e}", magnitude);  // For the exponent only.
  char digits[400];
  const int exponent = std::atoi(text.c_str() + text.find('e') + 1);
  const auto format = exponent < -4 || exponent >= 6 ? std::chars_format::scientific : std::chars_format::fixed;
  text.assign(digits, std::to_chars(digits, digits + sizeof(digits), magnitude, format).ptr);
  if (upper) {
    for (char& c : text) c = c == 'e' ? 'E' : c;
  }
  return text;
}

// For the flag #: there is a decimal point, and there are at least `digits` digits, leading zeros not counted.
void ShowPoint(int digits, std::string* text) {
  const size_t exponent = std::min(text->find_first_of("eE"), text->size());
  std::string mantissa = text->substr(0, exponent);
  const size_t first = std::min(mantissa.find_first_not_of("0."), mantissa.size() - 1);
  const auto shown = std::count_if(mantissa.begin() + static_cast<std::ptrdiff_t>(first), mantissa.end(),
                                   [](char c) { return c != '.'; });
  if (mantissa.find('.') == std::string::npos) mantissa += '.';
  if (shown < digits) mantissa.append(static_cast<size_t>(digits - shown), '0');
  text->replace(0, exponent, mantissa);
}

Status AppendFloat(const Verb& verb, const Cell& cell, std::string* out) {
  const std::optional<Cell> number = AsNumber(cell);
  if (!number) return Refuse(verb, "a number", cell);
  const double value = number->number();
  const std::string_view head = std::isnan(value) ? "" : Sign(verb, std::signbit(value));
  const double magnitude = std::abs(value);
  if (!std::isfinite(value)) {
    Pad(verb, head, std::isnan(value) ? "nan" : "inf", false, out);
    return Status::Ok();
  }
  const int precision = verb.precision < 0 ? kPrecisionDefault : verb.precision;
  std::string text;
  switch (verb.letter) {
    case 'e': text = fmt::format("{:.{}e}", magnitude, precision); break;
    case 'E': text = fmt::format("{:.{}E}", magnitude, precision); break;
    case 'g':
      text = verb.precision < 0 ? ShortestG(magnitude, false) : fmt::format("{:.{}g}", magnitude, precision);
      break;
    case 'G':
      text = verb.precision < 0 ? ShortestG(magnitude, true) : fmt::format("{:.{}G}", magnitude, precision);
      break;
    default: text = fmt::format("{:.{}f}", magnitude, precision);
  }
  if (verb.sharp) ShowPoint(verb.letter == 'g' || verb.letter == 'G' ? precision : 0, &text);
  Pad(verb, head, text, true, out);
  return Status::Ok();
}

// Is this character of several bytes a letter, mark, number, sign or symbol? fmt has the tables of Unicode for its own
// quoting, so we ask it to quote.
bool IsPrintable(std::string_view character) { return fmt::format("{:?}", character)[1] != '\\'; }

void AppendEscaped(std::string_view character, bool valid, bool only_ascii, std::string* out) {
  const uint32_t c = DecodeCharacter(character);
  if (!valid) {
    *out += fmt::format("\\x{:02x}", c);
    return;
  }
  switch (c) {
    case '"': *out += "\\\""; return;
    case '\\': *out += "\\\\"; return;
    case '\a': *out += "\\a"; return;
    case '\b': *out += "\\b"; return;
    case '\f': *out += "\\f"; return;
    case '\n': *out += "\\n"; return;
    case '\r': *out += "\\r"; return;
    case '\t': *out += "\\t"; return;
    case '\v': *out += "\\v"; return;
    default: break;
  }
  if (c < 0x20 || c == 0x7F) {
    *out += fmt::format("\\x{:02x}", c);
  } else if (c < 0x7F || (!only_ascii && IsPrintable(character))) {
    *out += character;
  } else {
    *out += c < 0x10000 ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c);
  }
}

std::string Quote(const Verb& verb, std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (verb.precision >= 0) text = FirstCharacters(text, verb.precision);
  std::string quoted = "\"";
  bool raw = verb.sharp;  // Between backquotes, where nothing can be escaped.
  for (size_t at = 0; at < text.size();) {
    bool valid;
    const std::string_view character = text.substr(at, CharacterLength(text.substr(at), &valid));
    AppendEscaped(character, valid, verb.plus, &quoted);
    const char c = character[0];
    raw = raw && valid && c != '`' && c != '\x7F' && (static_cast<unsigned char>(c) >= 0x20 || c == '\t') &&
          character != kByteOrderMark;
    at += character.size();
  }
  return raw ? fmt::format("`{}`", text) : quoted + "\"";
}

std::string HexOfBytes(const Verb& verb, std::string_view bytes) {
  if (verb.precision >= 0) bytes = bytes.substr(0, static_cast<size_t>(verb.precision));
  const std::string_view digits = verb.letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  const std::string_view prefix = !verb.sharp ? "" : verb.letter == 'X' ? "0X" : "0x";
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (verb.space && i > 0) text += ' ';
    if (i == 0 || verb.space) text += prefix;
    const auto byte = static_cast<unsigned char>(bytes[i]);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

Status AppendCodePoint(const Verb& verb, const Cell& cell, std::string* out) {
  const std::optional<int64_t> value = AsInteger(cell);
  if (!value) return Refuse(verb, "the number of a character", cell);
  constexpr uint32_t kReplacement = 0xFFFD;
  const bool exists = *value >= 0 && *value <= 0x10FFFF && !(*value >= 0xD800 && *value <= 0xDFFF);
  std::string text;
  AppendCharacter(exists ? static_cast<uint32_t>(*value) : kReplacement, &text);
  Pad(verb, "", text, true, out);
  return Status::Ok();
}

Status AppendTruth(const Verb& verb, const Cell& cell, std::string* out) {
  const bool is_word = cell.type() == Type::kBytes && (cell.as_bytes() == "true" || cell.as_bytes() == "false");
  if (cell.type() != Type::kBool && !is_word) return Refuse(verb, "true or false", cell);
  Pad(verb, "", cell.ToString(), true, out);
  return Status::Ok();
}

Status AppendText(const Verb& verb, const Cell& cell, std::string* out) {
  if (cell.type() == Type::kBytes && verb.is_plain()) {
    *out += cell.as_bytes();
    return Status::Ok();
  }
  std::string text = cell.ToString();
  std::string_view shown = text;
  const bool is_number = cell.is_number();
  std::string_view head;
  if (is_number && verb.letter == 'v') {
    const bool negative = shown.starts_with('-');
    if (negative) shown.remove_prefix(1);
    head = negative ? "-" : verb.space ? " " : "";
  } else if (verb.precision >= 0) {
    shown = FirstCharacters(shown, verb.precision);
  }
  Pad(verb, head, shown, !is_number || std::isfinite(cell.number()), out);
  return Status::Ok();
}

}  // namespace

std::string Verb::ToString() const {
  std::string text = "%";
  if (plus) text += '+';
  if (minus) text += '-';
  if (sharp) text += '#';
  if (space) text += ' ';
  if (zero) text += '0';
  if (width > 0) text += fmt::format("{}", width);
  if (precision >= 0) text += fmt::format(".{}", precision);
  return text + letter;
}

Status AppendCell(const Verb& verb, const Cell& cell, std::string* out) {
  if (cell.is_null()) {
    Pad(verb, "", "nil", false, out);
    return Status::Ok();
  }
  switch (verb.letter) {
    case 'x':
    case 'X':
      if (cell.type() == Type::kBytes) {
        Pad(verb, "", HexOfBytes(verb, cell.as_bytes()), true, out);
        return Status::Ok();
      }
      [[fallthrough]];
    case 'd':
    case 'b':
    case 'o': return AppendInteger(verb, cell, out);
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G': return AppendFloat(verb, cell, out);
    case 'c': return AppendCodePoint(verb, cell, out);
    case 't': return AppendTruth(verb, cell, out);
    case 'q': Pad(verb, "", Quote(verb, cell.ToString()), true, out); return Status::Ok();
    default: return AppendText(verb, cell, out);
  }
}

}  // namespace glim::io
