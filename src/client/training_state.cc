// SPDX-License-Identifier: Apache-2.0
#include "client/training_state.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/crc32c.h"
#include "base/try.h"

namespace glim {
namespace {

constexpr std::string_view kFirst = "glim training 1\n";
constexpr std::string_view kCrc = "crc ";
constexpr size_t kCrcLine = kCrc.size() + 9;
constexpr size_t kItemsMax = 1 << 16;
constexpr int64_t kPartsMax = 1 << 26;

// Words between single blanks, line by line.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}
  bool empty() const { return left_.empty(); }
  bool NextIs(std::string_view word) const { return left_.starts_with(word) && left_.substr(word.size(), 1) == " "; }

  Status Word(std::string_view word) {
    ASSIGN_OR_RETURN(const std::string_view found, Text());
    if (found != word) return Status::Corrupt(fmt::format("it says \"{:.60}\" where \"{}\" should be", found, word));
    return Status::Ok();
  }
  Result<std::string_view> Text() {
    const size_t end = left_.find_first_of(" \n");
    if (end == std::string_view::npos || end == 0) return Status::Corrupt("a word is missing");
    const std::string_view word = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return word;
  }
  template <class T>
  Result<T> Number(int base = 10) {
    ASSIGN_OR_RETURN(const std::string_view text, Text());
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size() || value < T{})
      return Status::Corrupt(fmt::format("\"{:.60}\" is not a number", text));
    return value;
  }

 private:
  std::string_view left_;
};

// Four parts to a digit, the first the lowest.
constexpr std::string_view kDigits = "0123456789abcdef";
std::string ToHex(const std::vector<bool>& done) {
  std::string text((done.size() + 3) / 4, '0');
  std::vector<int> digits(text.size());
  for (size_t i = 0; i < done.size(); ++i) digits[i / 4] |= done[i] ? 1 << (i % 4) : 0;
  for (size_t i = 0; i < text.size(); ++i) text[i] = kDigits[static_cast<size_t>(digits[i])];
  return text;
}
Result<std::vector<bool>> FromHex(std::string_view text, int64_t count) {
  std::vector<bool> done;
  if (count > kPartsMax || text.size() != (static_cast<size_t>(count) + 3) / 4)
    return Status::Corrupt("the parts that are done are not as many as there are");
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const size_t digit = kDigits.find(text[i / 4]);
    if (digit == std::string_view::npos) return Status::Corrupt("the parts that are done are not in hexadecimal");
    done.push_back((digit >> (i % 4) & 1) != 0);
  }
  return done;
}

Result<TrainingState::Stage> ReadStage(Reader* reader) {
  TrainingState::Stage stage;
  RETURN_IF_ERROR(reader->Word("stage"));
  ASSIGN_OR_RETURN(stage.step, reader->Number<int>());
  ASSIGN_OR_RETURN(stage.fingerprint, reader->Number<uint64_t>(16));
  ASSIGN_OR_RETURN(const auto count, reader->Number<int64_t>());
  if (count == 0) return stage;
  ASSIGN_OR_RETURN(const std::string_view done, reader->Text());
  ASSIGN_OR_RETURN(stage.done, FromHex(done, count));
  return stage;
}

}  // namespace

std::string EncodeTrainingState(const TrainingState& state) {
  std::string text = fmt::format("{}snapshot {}\npasses {}\n", kFirst, state.snapshot, state.passes);
  for (const std::string& table : state.tables) text += fmt::format("table {}\n", table);
  for (const auto& stage : state.stages) {
    text += fmt::format("stage {} {:016x} {}{}{}\n", stage.step, stage.fingerprint, stage.done.size(),
                        stage.done.empty() ? "" : " ", ToHex(stage.done));
  }
  return fmt::format("{}{}{:08x}\n", text, kCrc, base::Crc32c(text));
}

Result<TrainingState> DecodeTrainingState(std::string_view text) {
  if (!text.starts_with(kFirst)) return Status::Corrupt("it does not begin with \"glim training 1\"");
  if (text.size() < kFirst.size() + kCrcLine) return Status::Corrupt("its end is missing");
  const std::string_view body = text.substr(0, text.size() - kCrcLine);
  if (text.substr(body.size()) != fmt::format("{}{:08x}\n", kCrc, base::Crc32c(body)))
    return Status::Corrupt("its checksum is wrong");
  TrainingState state;
  Reader reader(body.substr(kFirst.size()));
  RETURN_IF_ERROR(reader.Word("snapshot"));
  ASSIGN_OR_RETURN(state.snapshot, reader.Number<uint64_t>());
  RETURN_IF_ERROR(reader.Word("passes"));
  ASSIGN_OR_RETURN(state.passes, reader.Number<int64_t>());
  while (reader.NextIs("table") && state.tables.size() < kItemsMax) {
    RETURN_IF_ERROR(reader.Word("table"));
    ASSIGN_OR_RETURN(const std::string_view name, reader.Text());
    state.tables.emplace_back(name);
  }
  while (reader.NextIs("stage") && state.stages.size() < kItemsMax) {
    ASSIGN_OR_RETURN(TrainingState::Stage stage, ReadStage(&reader));
    state.stages.push_back(std::move(stage));
  }
  if (!reader.empty()) return Status::Corrupt("there is more than there should be");
  return state;
}

}  // namespace glim
