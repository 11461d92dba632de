// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/text_operations.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "udf/kernel/number_text.h"

namespace glim::udf {
namespace {

constexpr size_t kMadeMax = 1 << 20;  // Of one text; larger ones are for Lua and its bound of memory.

// Calls body(row, text) for rows that have a text.
template <class Body>
void EachText(const TextRun& run, const Body& body) {
  const Values& in = *run.in[0];
  const bool all = in.AreAll(Tag::kText);
  run.rows->Each([&](uint32_t row) {
    if (!all && in.tag(row) != Tag::kText) return run.failures->Add(row);
    body(row, in.texts()[row]);
  });
}

// A whole number that fits, of argument `i`; nil is `missing`.
std::optional<int64_t> Integer(const TextRun& run, size_t i, uint32_t row, std::optional<int64_t> missing) {
  if (i >= run.in.size() || run.in[i]->tag(row) == Tag::kNil) return missing;
  if (run.in[i]->tag(row) != Tag::kNumber) return std::nullopt;
  const double number = run.in[i]->numbers()[row];
  if (!(std::abs(number) < 2147483647.0) || number != std::floor(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

// The part of `text` from `begin` to `end`, which lie in it.
Text Part(const Text& text, const char* begin, const char* end) {
  return {begin, static_cast<uint32_t>(end - begin), text.block};
}

// Where a search begins, from argument `i`.
std::optional<size_t> SearchStart(const TextRun& run, size_t i, uint32_t row, size_t size) {
  std::optional<int64_t> start = Integer(run, i, row, 1);
  if (!start.has_value()) return std::nullopt;
  *start += *start < 0 ? static_cast<int64_t>(size) : -1;
  return std::clamp<int64_t>(*start, 0, static_cast<int64_t>(size));
}

bool Search(const TextPattern& pattern, std::string_view text, size_t from, LuaPattern::Match* match) {
  return pattern.anchored ? pattern.pattern.MatchAt(text, from, match) : pattern.pattern.Find(text, from, match);
}

// What tostring writes, appended; false: not for us.
bool AppendText(const Values& values, uint32_t row, std::string* out) {
  switch (values.tag(row)) {
    case Tag::kNil: *out += "nil"; return true;
    case Tag::kFalse: *out += "false"; return true;
    case Tag::kTrue: *out += "true"; return true;
    case Tag::kText: *out += values.texts()[row].view(); return true;
    case Tag::kNumber: {
      char text[kNumberTextMax];
      const size_t size = WriteNumber(values.numbers()[row], text);
      out->append(text, size);
      return size > 0;
    }
    case Tag::kCell: return false;
  }
  return false;
}

Text Copy(std::string_view text, Texts* texts) {
  std::copy(text.begin(), text.end(), texts->Room(text.size()));
  return texts->Made(text.size());
}

void Change(const TextRun& run, Case to) {
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  EachText(run, [&](uint32_t row, const Text& text) {
    ChangeCase(to, text.view(), run.texts->Room(text.size));
    out[row] = run.texts->Made(text.size);
  });
}

// Sets outputs `first` and on to the captures of a match.
void PutCaptures(const TextRun& run, size_t first, uint32_t row, const Text& text, const LuaPattern& pattern,
                 const LuaPattern::Match& match) {
  for (int c = 0; c < pattern.capture_count(); ++c) {
    if (first + c >= run.out.size()) return;
    Values* const out = run.out[first + c];
    if (pattern.is_position(c)) {
      out->StartTags()[row] = Tag::kNumber;
      out->MakeNumbers()[row] = static_cast<double>(match.captures[c].data() - text.data + 1);
    } else {
      out->StartTags()[row] = Tag::kText;
      out->MakeTexts()[row] = Part(text, match.captures[c].data(), match.captures[c].data() + match.captures[c].size());
    }
  }
}

void PutNils(const TextRun& run, uint32_t row) {
  for (Values* out : run.out) out->StartTags()[row] = Tag::kNil;
}

void PutPlace(const TextRun& run, uint32_t row, const Text& text, const char* begin, const char* end) {
  run.out[0]->StartTags()[row] = run.out[1]->StartTags()[row] = Tag::kNumber;
  run.out[0]->MakeNumbers()[row] = static_cast<double>(begin - text.data + 1);
  run.out[1]->MakeNumbers()[row] = static_cast<double>(end - text.data);
}

bool AppendVerb(const FormatPiece& piece, const Values& values, uint32_t row, std::string* out) {
  if (piece.verb == 's') return AppendText(values, row, out);
  if (values.tag(row) != Tag::kNumber) return false;
  const double number = values.numbers()[row];
  char text[512];  // %99.99f of 1e308 has 410.
  int size = 0;
  if (piece.verb == 'f') {
    if (!std::isfinite(number) || IsInTheMiddle(number, piece.digits)) return false;
    size = std::snprintf(text, sizeof(text), piece.text.c_str(), number);
  } else {
    constexpr double kExactMax = 9007199254740992.0;
    if (number != std::floor(number) || !(std::abs(number) < kExactMax)) return false;
    if (piece.verb == 'x' && number < 0) return false;
    size = std::snprintf(text, sizeof(text), piece.text.c_str(), static_cast<long long>(number));
  }
  out->append(text, static_cast<size_t>(size));
  return true;
}

}  // namespace

void ChangeCase(Case to, std::string_view text, char* out) {
  const char first = to == Case::kLower ? 'A' : 'a';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    out[i] = static_cast<char>(c ^ (static_cast<unsigned char>(c - first) < 26 ? 0x20 : 0));
  }
}

void RequireText(const TextRun& run) {
  EachText(run, [](uint32_t, const Text&) {});
}

void Length(const TextRun& run) {
  double* const out = run.out[0]->MakeNumbers();
  run.out[0]->Start(Tag::kNumber);
  EachText(run, [&](uint32_t row, const Text& text) { out[row] = text.size; });
}

void Concatenate(const TextRun& run) {
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  std::string made;
  run.rows->Each([&](uint32_t row) {
    made.clear();
    bool good = true;
    for (const Values* in : run.in) {
      const Tag tag = in->tag(row);
      good = good && (tag == Tag::kText || tag == Tag::kNumber) && made.size() <= kMadeMax;
      good = good && AppendText(*in, row, &made);
    }
    if (!good) return run.failures->Add(row);
    out[row] = Copy(made, run.texts);
  });
}

void ToNumber(const TextRun& run) {
  const Values& in = *run.in[0];
  Tag* const tags = run.out[0]->StartTags();
  double* const numbers = run.out[0]->MakeNumbers();
  run.rows->Each([&](uint32_t row) {
    tags[row] = Tag::kNil;
    const Tag tag = in.tag(row);
    if (tag == Tag::kCell) return run.failures->Add(row);
    if (tag == Tag::kNumber) {
      tags[row] = Tag::kNumber;
      numbers[row] = in.numbers()[row];
    } else if (tag == Tag::kText) {
      const NumberText read = ReadNumber(in.texts()[row].view(), &numbers[row]);
      if (read == NumberText::kUnclear) return run.failures->Add(row);
      if (read == NumberText::kNumber) tags[row] = Tag::kNumber;
    }
  });
  run.out[0]->JoinTags(*run.rows);
}

void ToText(const TextRun& run) {
  const Values& in = *run.in[0];
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  std::string made;
  run.rows->Each([&](uint32_t row) {
    if (in.tag(row) == Tag::kText) {
      out[row] = in.texts()[row];
      return;
    }
    made.clear();
    if (!AppendText(in, row, &made)) return run.failures->Add(row);
    out[row] = Copy(made, run.texts);
  });
}

void TypeName(const TextRun& run) {
  constexpr std::string_view kNames[] = {"nil", "boolean", "boolean", "number", "string"};
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  run.rows->Each([&](uint32_t row) {
    const Tag tag = run.in[0]->tag(row);
    if (tag == Tag::kCell) return run.failures->Add(row);
    const std::string_view name = kNames[static_cast<int>(tag)];
    out[row] = {name.data(), static_cast<uint32_t>(name.size()), 0};
  });
}

void Sub(const TextRun& run) {
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  EachText(run, [&](uint32_t row, const Text& text) {
    std::optional<int64_t> begin = Integer(run, 1, row, std::nullopt);
    std::optional<int64_t> end = Integer(run, 2, row, -1);
    if (!begin.has_value() || !end.has_value()) return run.failures->Add(row);
    const int64_t size = text.size;
    if (*begin < 0) *begin += size + 1;
    if (*end < 0) *end += size + 1;
    begin = std::max<int64_t>(*begin, 1);
    end = std::min(*end, size);
    out[row] = *begin <= *end ? Part(text, text.data + *begin - 1, text.data + *end) : Part(text, text.data, text.data);
  });
}

void Byte(const TextRun& run) {
  Tag* const tags = run.out[0]->StartTags();
  double* const out = run.out[0]->MakeNumbers();
  EachText(run, [&](uint32_t row, const Text& text) {
    std::optional<int64_t> at = Integer(run, 1, row, 1);
    if (!at.has_value()) return run.failures->Add(row);
    if (*at < 0) *at += int64_t{text.size} + 1;
    const bool is_there = *at >= 1 && *at <= text.size;
    tags[row] = is_there ? Tag::kNumber : Tag::kNil;
    if (is_there) out[row] = static_cast<unsigned char>(text.data[*at - 1]);
  });
}

void Lower(const TextRun& run) { Change(run, Case::kLower); }
void Upper(const TextRun& run) { Change(run, Case::kUpper); }

void Reverse(const TextRun& run) {
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  EachText(run, [&](uint32_t row, const Text& text) {
    std::reverse_copy(text.data, text.data + text.size, run.texts->Room(text.size));
    out[row] = run.texts->Made(text.size);
  });
}

void Repeat(const TextRun& run) {
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  EachText(run, [&](uint32_t row, const Text& text) {
    const std::optional<int64_t> wanted = Integer(run, 1, row, std::nullopt);
    if (!wanted.has_value()) return run.failures->Add(row);
    const auto count = static_cast<size_t>(std::max<int64_t>(*wanted, 0));
    if (count > kMadeMax || count * text.size > kMadeMax) return run.failures->Add(row);
    char* to = run.texts->Room(count * text.size);
    for (size_t i = 0; i < count; ++i) to = std::copy_n(text.data, text.size, to);
    out[row] = run.texts->Made(count * text.size);
  });
}

void FindPlain(const TextRun& run) {
  const Values& wanted = *run.in[1];
  EachText(run, [&](uint32_t row, const Text& text) {
    const std::optional<size_t> start = SearchStart(run, 2, row, text.size);
    if (!start.has_value() || wanted.tag(row) != Tag::kText) return run.failures->Add(row);
    const std::string_view piece = wanted.texts()[row].view();
    const size_t at = text.view().find(piece, *start);
    if (at == std::string_view::npos) return PutNils(run, row);
    PutPlace(run, row, text, text.data + at, text.data + at + piece.size());
  });
}

void Find(const TextRun& run, const TextPattern& pattern) {
  EachText(run, [&](uint32_t row, const Text& text) {
    const std::optional<size_t> start = SearchStart(run, 2, row, text.size);
    if (!start.has_value()) return run.failures->Add(row);
    LuaPattern::Match match;
    if (!Search(pattern, text.view(), *start, &match)) return PutNils(run, row);
    PutPlace(run, row, text, match.begin, match.end);
    PutCaptures(run, 2, row, text, pattern.pattern, match);
  });
}

void Match(const TextRun& run, const TextPattern& pattern) {
  EachText(run, [&](uint32_t row, const Text& text) {
    const std::optional<size_t> start = SearchStart(run, 2, row, text.size);
    if (!start.has_value()) return run.failures->Add(row);
    LuaPattern::Match match;
    if (!Search(pattern, text.view(), *start, &match)) return PutNils(run, row);
    if (pattern.pattern.capture_count() == 0) {
      run.out[0]->StartTags()[row] = Tag::kText;
      run.out[0]->MakeTexts()[row] = Part(text, match.begin, match.end);
    }
    PutCaptures(run, 0, row, text, pattern.pattern, match);
  });
  for (Values* out : run.out) out->JoinTags(*run.rows);
}

void Replace(const TextRun& run, const TextPattern& pattern, const std::vector<ReplacementPiece>& pieces) {
  Text* const out = run.out[0]->MakeTexts();
  double* const counts = run.out[1]->MakeNumbers();
  run.out[0]->Start(Tag::kText);
  run.out[1]->Start(Tag::kNumber);
  std::string made;
  EachText(run, [&](uint32_t row, const Text& text) {
    made.clear();
    const char* const end = text.data + text.size;
    const char* at = text.data;  // Before it, all is done.
    uint32_t count = 0;
    LuaPattern::Match match;
    while (Search(pattern, text.view(), static_cast<size_t>(at - text.data), &match)) {
      ++count;
      made.append(at, match.begin);
      for (const ReplacementPiece& piece : pieces) {
        if (piece.capture < 0) {
          made += piece.text;
        } else if (piece.capture == 0 || pattern.pattern.capture_count() == 0) {
          made.append(match.begin, match.end);
        } else if (pattern.pattern.is_position(piece.capture - 1)) {
          made += std::to_string(match.captures[piece.capture - 1].data() - text.data + 1);
        } else {
          made += match.captures[piece.capture - 1];
        }
      }
      at = match.end;
      if (match.end == match.begin) {
        if (at == end) break;
        made += *at++;
      }
      if (pattern.anchored || made.size() > kMadeMax) break;
    }
    if (made.size() > kMadeMax) return run.failures->Add(row);
    counts[row] = count;
    if (count == 0) {
      out[row] = text;
      return;
    }
    made.append(at, end);
    out[row] = Copy(made, run.texts);
  });
}

void Format(const TextRun& run, const std::vector<FormatPiece>& pieces) {
  Text* const out = run.out[0]->MakeTexts();
  run.out[0]->Start(Tag::kText);
  std::string made;
  run.rows->Each([&](uint32_t row) {
    made.clear();
    size_t argument = 0;
    for (const FormatPiece& piece : pieces) {
      if (piece.verb == 0) {
        made += piece.text;
      } else if (!AppendVerb(piece, *run.in[argument++], row, &made)) {
        return run.failures->Add(row);
      }
    }
    if (made.size() > kMadeMax) return run.failures->Add(row);
    out[row] = Copy(made, run.texts);
  });
}

}  // namespace glim::udf
