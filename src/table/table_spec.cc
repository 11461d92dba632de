// SPDX-License-Identifier: Apache-2.0
#include "glim/table_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "base/try.h"
#include "table/names.h"

namespace glim {
namespace {

constexpr uint32_t kShardsMax = 65535;
constexpr uint32_t kReplicasMax = 3;
constexpr uint64_t kRowBytesMax = 1 << 24;

// A struct as text is its name and its fields: "ftrl alpha=0.1 beta=1". The parameter names are listed once, for both
// directions.
struct Field {
  std::string_view name;
  double* value;
};

std::string FieldText(std::string_view name, std::initializer_list<std::pair<std::string_view, double>> fields) {
  std::string text(name);
  for (const auto& [field, value] : fields) text += fmt::format(" {}={}", field, value);
  return text;
}

template <class T>
bool ParseNumber(std::string_view text, T* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) return words;
    size_t end = std::min(text.find(' ', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
}

// Reads "name=number" words into the fields of that name, and "seed=integer" when there is a `seed`.
Status ParseFields(std::string_view what, std::span<const std::string_view> words, std::initializer_list<Field> fields,
                   uint64_t* seed = nullptr) {
  for (std::string_view word : words) {
    size_t equals = std::min(word.find('='), word.size());
    std::string_view name = word.substr(0, equals), number = word.substr(std::min(equals + 1, word.size()));
    if (seed != nullptr && name == "seed") {
      if (ParseNumber(number, seed)) continue;
      return Status::Invalid(fmt::format("{}: \"{}\" is not a seed; write seed=INTEGER", what, word));
    }
    auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == name; });
    if (field == fields.end()) {
      std::string known;
      for (const Field& f : fields) known += fmt::format("{}{}", known.empty() ? "" : ", ", f.name);
      return Status::Invalid(
          fmt::format("{} has no parameter \"{}\"; it has {}", what, name, known.empty() ? "none" : known));
    }
    if (!ParseNumber(number, field->value)) {
      return Status::Invalid(fmt::format("{}: \"{}\" is not a number; write {}=NUMBER", what, word, name));
    }
  }
  return Status::Ok();
}

std::string_view NameOf(const UpdateRule& rule) {
  constexpr std::string_view kNames[] = {"add", "assign", "min", "max", "sgd", "adagrad", "adam", "ftrl"};
  return kNames[rule.index()];
}

Status CheckRule(const TableSpec& spec) {
  struct Check {
    std::string wrong;
    void Positive(std::string_view name, double value) {
      if (!(value > 0) || !std::isfinite(value)) wrong = fmt::format("{} is {}; it must be above 0", name, value);
    }
    void NotNegative(std::string_view name, double value) {
      if (!(value >= 0) || !std::isfinite(value)) wrong = fmt::format("{} is {}; it must be 0 or above", name, value);
    }
    void Share(std::string_view name, double value) {
      if (!(value >= 0 && value < 1)) wrong = fmt::format("{} is {}; it must be at least 0 and below 1", name, value);
    }
    void operator()(const Sgd& rule) { Positive("rate", rule.rate); }
    void operator()(const AdaGrad& rule) {
      Positive("rate", rule.rate);
      Positive("epsilon", rule.epsilon);
    }
    void operator()(const Adam& rule) {
      Positive("rate", rule.rate);
      Share("beta1", rule.beta1);
      Share("beta2", rule.beta2);
      Positive("epsilon", rule.epsilon);
    }
    void operator()(const Ftrl& rule) {
      Positive("alpha", rule.alpha);
      NotNegative("beta", rule.beta);
      NotNegative("l1", rule.l1);
      NotNegative("l2", rule.l2);
    }
    void operator()(const Add&) {}
    void operator()(const Assign&) {}
    void operator()(const Min&) {}
    void operator()(const Max&) {}
  };
  bool learns = std::holds_alternative<Sgd>(spec.rule) || std::holds_alternative<AdaGrad>(spec.rule) ||
                std::holds_alternative<Adam>(spec.rule) || std::holds_alternative<Ftrl>(spec.rule);
  if (learns && IsInteger(spec.value_type)) {
    return Status::Invalid(fmt::format("rule {} needs values of type f32 or f64, not {}", NameOf(spec.rule),
                                       ValueTypeName(spec.value_type)));
  }
  Check check;
  std::visit(check, spec.rule);
  if (!check.wrong.empty()) return Status::Invalid(fmt::format("rule {}: {}", NameOf(spec.rule), check.wrong));
  return Status::Ok();
}

// The shards of dense keys are slices of them, which a function does not tell.
Status CheckPartitionBy(TableSpec* spec) {
  if (spec->partition_by.empty() && spec->partitioner != Partitioner::kFunction) return Status::Ok();
  const auto wrong = [&](std::string text) {
    return Status::Invalid(fmt::format("table \"{}\": {}", spec->name, text));
  };
  if (spec->partition_by.empty()) return wrong("which function is its partitioner? give partition_by its name");
  if (spec->partitioner != Partitioner::kDefault && spec->partitioner != Partitioner::kFunction) {
    return wrong(fmt::format("its partitioner is {} or the function \"{:.100}\", not both", ToString(spec->partitioner),
                             spec->partition_by));
  }
  if (Status status = table::CheckName("partitioner", spec->partition_by); !status.ok()) return wrong(status.message());
  if (spec->keys.kind != KeySpace::Kind::kSparse) {
    return wrong(fmt::format("its partitioner \"{}\" is a function, which is for sparse keys; it has keys {}",
                             spec->partition_by, ToString(spec->keys)));
  }
  spec->partitioner = Partitioner::kFunction;
  return Status::Ok();
}

Status CheckInitial(const TableSpec& spec) {
  auto wrong = [&](std::string_view why) {
    return Status::Invalid(fmt::format("initial value \"{}\": {}", ToString(spec.initial), why));
  };
  double largest =
      spec.value_type == ValueType::kF32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  if (const auto* constant = std::get_if<Constant>(&spec.initial)) {
    if (!IsInteger(spec.value_type)) {
      // An infinity is the natural beginning of min and max.
      double value = constant->is_integer ? static_cast<double>(constant->integer) : constant->real;
      if (std::isnan(value)) return wrong("it must be a number");
      if (std::isfinite(value) && std::abs(value) > largest) return wrong("f32 cannot hold it");
      if (std::isinf(value) && spec.rule.index() > 3) return wrong("this rule computes with it; it must be finite");
      return Status::Ok();
    }
    if (!constant->is_integer) return wrong("a table of integers starts with an integer");
    if (spec.value_type == ValueType::kI32 && !std::in_range<int32_t>(constant->integer))
      return wrong("i32 cannot hold it");
    return Status::Ok();
  }
  if (IsInteger(spec.value_type)) return wrong("random values need a table of type f32 or f64");
  if (const auto* uniform = std::get_if<Uniform>(&spec.initial)) {
    if (!(std::abs(uniform->low) <= largest && std::abs(uniform->high) <= largest))
      return wrong("bounds must be finite");
    if (!(uniform->low <= uniform->high)) return wrong("low must not be above high");
  }
  if (const auto* normal = std::get_if<Normal>(&spec.initial)) {
    if (!(std::abs(normal->mean) <= largest && std::abs(normal->stddev) <= largest / 16))
      return wrong("mean and stddev must be finite");
    if (!(normal->stddev >= 0)) return wrong("stddev must not be negative");
  }
  return Status::Ok();
}

}  // namespace

std::string_view ValueTypeName(ValueType type) {
  switch (type) {
    case ValueType::kF32: return "f32";
    case ValueType::kF64: return "f64";
    case ValueType::kI32: return "i32";
    case ValueType::kI64: return "i64";
  }
  return "unknown";
}

Result<ValueType> ParseValueType(std::string_view name) {
  for (ValueType type : {ValueType::kF32, ValueType::kF64, ValueType::kI32, ValueType::kI64}) {
    if (name == ValueTypeName(type)) return type;
  }
  return Status::Invalid(fmt::format("\"{:.100}\" is not a value type; there are f32, f64, i32 and i64", name));
}

std::string ToString(const KeySpace& keys) {
  switch (keys.kind) {
    case KeySpace::Kind::kDense: return fmt::format("dense {}", keys.key_count);
    case KeySpace::Kind::kMatrix: return fmt::format("matrix {} x {}", keys.key_count, keys.cols);
    case KeySpace::Kind::kColumns: return fmt::format("columns {} x {}", keys.key_count / keys.cols, keys.cols);
    case KeySpace::Kind::kSparse: return "sparse";
  }
  return "unknown";
}

std::string ToString(const Initial& initial) {
  if (const auto* constant = std::get_if<Constant>(&initial)) {
    if (constant->is_integer) return fmt::format("constant {}", constant->integer);
    // The point tells it from an integer.
    std::string number = fmt::format("{}", constant->real);
    if (number.find_first_not_of("-0123456789") == std::string::npos) number += ".0";
    return "constant " + number;
  }
  if (const auto* uniform = std::get_if<Uniform>(&initial)) {
    return FieldText("uniform", {{"low", uniform->low}, {"high", uniform->high}}) +
           fmt::format(" seed={}", uniform->seed);
  }
  const auto& normal = std::get<Normal>(initial);
  return FieldText("normal", {{"mean", normal.mean}, {"stddev", normal.stddev}}) + fmt::format(" seed={}", normal.seed);
}

std::string ToString(const UpdateRule& rule) {
  struct Text {
    std::string_view name;
    std::string operator()(const Sgd& r) { return FieldText(name, {{"rate", r.rate}}); }
    std::string operator()(const AdaGrad& r) { return FieldText(name, {{"rate", r.rate}, {"epsilon", r.epsilon}}); }
    std::string operator()(const Adam& r) {
      return FieldText(name, {{"rate", r.rate}, {"beta1", r.beta1}, {"beta2", r.beta2}, {"epsilon", r.epsilon}});
    }
    std::string operator()(const Ftrl& r) {
      return FieldText(name, {{"alpha", r.alpha}, {"beta", r.beta}, {"l1", r.l1}, {"l2", r.l2}});
    }
    std::string operator()(const Add&) { return std::string(name); }
    std::string operator()(const Assign&) { return std::string(name); }
    std::string operator()(const Min&) { return std::string(name); }
    std::string operator()(const Max&) { return std::string(name); }
  };
  return std::visit(Text{NameOf(rule)}, rule);
}

std::string_view ToString(Partitioner partitioner) {
  switch (partitioner) {
    case Partitioner::kDefault: return "default";
    case Partitioner::kRange: return "range";
    case Partitioner::kCyclic: return "cyclic";
    case Partitioner::kHash: return "hash";
    case Partitioner::kFunction: return "by";
  }
  return "unknown";
}

std::string PartitionText(const TableSpec& spec) {
  if (spec.partitioner == Partitioner::kFunction) return "by " + spec.partition_by;
  return std::string(ToString(spec.partitioner));
}

std::string ToString(const Consistency& consistency) {
  switch (consistency.kind) {
    case Consistency::Kind::kAsync: return "async";
    case Consistency::Kind::kStale: return std::to_string(consistency.staleness);
    case Consistency::Kind::kBsp: return "bsp";
  }
  return "unknown";
}
std::string_view ToString(Durability durability) { return durability == Durability::kDisk ? "disk" : "memory"; }

Result<KeySpace> ParseKeySpace(std::string_view text) {
  auto words = Words(text);
  KeySpace keys;
  if (words.size() == 1 && words[0] == "sparse") return SparseKeys();
  if (words.size() == 2 && words[0] == "dense" && ParseNumber(words[1], &keys.key_count))
    return DenseKeys(keys.key_count);
  if (words.size() == 4 && words[2] == "x" && ParseNumber(words[1], &keys.key_count) &&
      ParseNumber(words[3], &keys.cols) && keys.cols > 0) {
    if (words[0] == "matrix") return MatrixKeys(keys.key_count, keys.cols);
    if (words[0] == "columns") return ColumnMatrixKeys(keys.key_count, keys.cols);
  }
  return Status::Invalid(fmt::format(
      "\"{:.100}\" is not a key space; write \"sparse\", \"dense N\", \"matrix ROWS x COLS\" or \"columns ROWS x COLS\"",
      text));
}

Result<Initial> ParseInitial(std::string_view text) {
  auto words = Words(text);
  std::string_view name = words.empty() ? "" : words[0];
  if (name == "constant" && words.size() == 2) {
    int64_t integer = 0;
    double real = 0;
    if (ParseNumber(words[1], &integer)) return Initial(Constant(integer));
    if (ParseNumber(words[1], &real)) return Initial(Constant(real));
  }
  if (name == "uniform") {
    Uniform uniform;
    RETURN_IF_ERROR(ParseFields(name, std::span(words).subspan(1), {{"low", &uniform.low}, {"high", &uniform.high}},
                                &uniform.seed));
    return Initial(uniform);
  }
  if (name == "normal") {
    Normal normal;
    RETURN_IF_ERROR(ParseFields(name, std::span(words).subspan(1), {{"mean", &normal.mean}, {"stddev", &normal.stddev}},
                                &normal.seed));
    return Initial(normal);
  }
  return Status::Invalid(fmt::format(
      "\"{:.100}\" is not an initial value; write \"constant NUMBER\", \"uniform low=0 high=1 seed=0\" or \"normal mean=0 stddev=1 seed=0\"",
      text));
}

Result<UpdateRule> ParseUpdateRule(std::string_view text) {
  auto words = Words(text);
  std::string_view name = words.empty() ? "" : words[0];
  auto parameters = std::span<const std::string_view>(words).subspan(std::min<size_t>(1, words.size()));
  for (UpdateRule rule : {UpdateRule(Add{}), UpdateRule(Assign{}), UpdateRule(Min{}), UpdateRule(Max{}),
                          UpdateRule(Sgd{}), UpdateRule(AdaGrad{}), UpdateRule(Adam{}), UpdateRule(Ftrl{})}) {
    if (name != NameOf(rule)) continue;
    struct Parse {
      std::string_view name;
      std::span<const std::string_view> parameters;
      Status operator()(Sgd& r) { return ParseFields(name, parameters, {{"rate", &r.rate}}); }
      Status operator()(AdaGrad& r) {
        return ParseFields(name, parameters, {{"rate", &r.rate}, {"epsilon", &r.epsilon}});
      }
      Status operator()(Adam& r) {
        return ParseFields(name, parameters,
                           {{"rate", &r.rate}, {"beta1", &r.beta1}, {"beta2", &r.beta2}, {"epsilon", &r.epsilon}});
      }
      Status operator()(Ftrl& r) {
        return ParseFields(name, parameters, {{"alpha", &r.alpha}, {"beta", &r.beta}, {"l1", &r.l1}, {"l2", &r.l2}});
      }
      Status operator()(Add&) { return ParseFields(name, parameters, {}); }
      Status operator()(Assign&) { return ParseFields(name, parameters, {}); }
      Status operator()(Min&) { return ParseFields(name, parameters, {}); }
      Status operator()(Max&) { return ParseFields(name, parameters, {}); }
    };
    RETURN_IF_ERROR(std::visit(Parse{name, parameters}, rule));
    return rule;
  }
  return Status::Invalid(fmt::format(
      "\"{:.100}\" is not an update rule; there are add, assign, min, max, sgd, adagrad, adam and ftrl", name));
}

Result<Partitioner> ParsePartitioner(std::string_view text) {
  for (Partitioner p : {Partitioner::kDefault, Partitioner::kRange, Partitioner::kCyclic, Partitioner::kHash}) {
    if (text == ToString(p)) return p;
  }
  return Status::Invalid(fmt::format("\"{:.100}\" is not a partitioner; there are range, cyclic and hash", text));
}

Result<Consistency> ParseConsistency(std::string_view text) {
  if (text == "async") return kAsync;
  if (text == "bsp") return kBsp;
  uint32_t staleness = 0;
  if (ParseNumber(text, &staleness)) return Staleness(staleness);
  return Status::Invalid(fmt::format(
      "\"{:.100}\" is not a consistency; write \"async\", \"bsp\", or how many clocks a worker may be ahead, like 3",
      text));
}

Result<Durability> ParseDurability(std::string_view text) {
  for (Durability d : {Durability::kMemory, Durability::kDisk}) {
    if (text == ToString(d)) return d;
  }
  return Status::Invalid(fmt::format("\"{:.100}\" is not a durability; there are memory and disk", text));
}

Result<TableSpec> CheckTableSpec(TableSpec spec) {
  RETURN_IF_ERROR(table::CheckName("table", spec.name));
  auto wrong = [&](std::string text) { return Status::Invalid(fmt::format("table \"{}\": {}", spec.name, text)); };
  if (spec.keys.kind == KeySpace::Kind::kColumns) {
    if (spec.keys.cols == 0) return wrong("a matrix needs at least one column");
    if (spec.width != 1) return wrong("the values of a matrix by column are one by one; leave width out");
    if (spec.keys.key_count == 0) return wrong("a matrix has at least one row, and fewer than 2^64 values");
  }
  if (spec.keys.kind != KeySpace::Kind::kSparse && spec.keys.key_count == 0) {
    return wrong("it has no keys; a dense table or matrix needs at least one");
  }
  if (spec.keys.kind == KeySpace::Kind::kMatrix) {
    if (spec.keys.cols == 0) return wrong("a matrix needs at least one column");
    if (spec.width != 1 && spec.width != spec.keys.cols) {
      return wrong(fmt::format("width {} is not that of a {}; leave it out",
                               spec.is_variable() ? "variable" : std::to_string(spec.width), ToString(spec.keys)));
    }
    spec.width = spec.keys.cols;
  }
  if (spec.width == 0) return wrong("a row needs at least one value");
  if (!spec.is_variable() && uint64_t{spec.width} * ValueBytes(spec.value_type) > kRowBytesMax) {
    return wrong(fmt::format("a row of {} values is too long; at most {} MiB", spec.width, kRowBytesMax >> 20));
  }
  if (spec.shards > kShardsMax)
    return wrong(fmt::format("{} shards are too many; at most {}", spec.shards, kShardsMax));
  if (spec.replicas < 1 || spec.replicas > kReplicasMax)
    return wrong(fmt::format("{} replicas cannot be; 1 to {}", spec.replicas, kReplicasMax));
  if (Status status = CheckRule(spec); !status.ok()) return wrong(status.message());
  if (Status status = CheckInitial(spec); !status.ok()) return wrong(status.message());
  RETURN_IF_ERROR(CheckPartitionBy(&spec));
  if (spec.partitioner == Partitioner::kDefault) {
    spec.partitioner = spec.keys.kind == KeySpace::Kind::kSparse ? Partitioner::kHash : Partitioner::kRange;
  }
  return spec;
}

}  // namespace glim
