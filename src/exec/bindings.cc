// SPDX-License-Identifier: Apache-2.0
#include "exec/bindings.h"

#include <utility>

#include "base/check.h"
#include "base/try.h"
#include "exec/cached_source.h"
#include "exec/encode_operator.h"
#include "exec/table_source.h"
#include "io/csv_source.h"
#include "io/file_sink.h"
#include "io/fixed_width_source.h"
#include "io/json_source.h"
#include "io/memory_source.h"
#include "io/print_sink.h"
#include "io/sinks.h"
#include "io/sql/sql.h"
#include "io/stream_sources.h"
#include "io/text_source.h"
#include "io/zip_source.h"
#include "ops/aggregate.h"
#include "ops/distinct.h"
#include "ops/folds.h"
#include "ops/pipe.h"
#include "ops/repeat_steps.h"
#include "ops/sort.h"
#include "ops/table_steps.h"
#include "udf/lua_function.h"

namespace glim::exec {
namespace {

template <class T>
const T& Body(const flow::Graph& graph, int step) {
  return std::get<T>(graph.steps()[step].body);
}

Result<std::shared_ptr<const Function>> Bind(const FunctionSource& source, const std::string& init) {
  if (source.function != nullptr) return source.function;
  if (!source.folds.empty()) return ops::MakeFoldFunction(source.folds);
  return udf::MakeLuaFunction(source.lua, init);
}

Result<io::RowFormat> ParseFormat(const flow::Step& step, const std::string& format) {
  Result<io::RowFormat> parsed = io::RowFormat::Parse(format);
  if (!parsed.ok()) return std::move(parsed).status().With(step.name);
  return parsed;
}

Result<std::unique_ptr<io::RowEncoder>> MakeEncoder(const flow::FileFormat& format) {
  if (const auto* csv = std::get_if<CsvWriteOptions>(&format)) return io::MakeCsvEncoder(*csv);
  if (const auto* json = std::get_if<flow::JsonFormat>(&format)) return io::MakeJsonEncoder(json->names);
  if (std::holds_alternative<flow::BinaryFormat>(format)) return io::MakeBinaryEncoder();
  return io::MakeTextEncoder();
}

// Of the parts of a folder.
std::string Extension(const flow::FileFormat& format) {
  if (const auto* csv = std::get_if<CsvWriteOptions>(&format)) return csv->delimiter == '\t' ? ".tsv" : ".csv";
  if (std::holds_alternative<flow::JsonFormat>(format)) return ".jsonl";
  return std::holds_alternative<flow::BinaryFormat>(format) ? ".bin" : ".txt";
}

// Of the sinks whose rows may become bytes in any task (plan/processes.cc).
Result<std::unique_ptr<io::RowEncoder>> MakeEncoder(const flow::Step& step) {
  if (const auto* file = std::get_if<flow::FileSink>(&step.body)) {
    auto encoder = MakeEncoder(file->format);
    if (!encoder.ok()) return std::move(encoder).status().With(step.name);
    return encoder;
  }
  if (std::holds_alternative<flow::PipeOutSink>(step.body)) return io::MakeTextEncoder("");
  if (const auto* print = std::get_if<flow::PrintfSink>(&step.body)) {
    ASSIGN_OR_RETURN(io::RowFormat format, ParseFormat(step, print->format));
    return io::MakeFormatEncoder(std::move(format));
  }
  return Status::Internal(step.name + " writes no bytes");
}

Result<std::unique_ptr<io::Sink>> MakeFileSink(const flow::FileSink& sink, std::unique_ptr<io::RowEncoder> encoder,
                                               env::Env& env) {
  const std::string& named = sink.options.compression;
  if (sink.path == "-") {
    if (!named.empty() || sink.options.per_partition)
      return Status::Invalid("standard output, \"-\", is written plain and in one piece");
    return io::MakeEncodedSink(std::move(encoder), &env.standard_output());
  }
  io::Compression compression = io::CompressionOf(sink.path);
  if (!named.empty()) {
    ASSIGN_OR_RETURN(compression, io::CompressionNamed(named));
  }
  if (!sink.options.per_partition) return io::MakeFileSink(sink.path, std::move(encoder), compression);
  // A folder that happens to be called out.gz says nothing about its files.
  if (named.empty()) compression = io::Compression::kNone;
  return io::MakeFolderSink(sink.path, std::move(encoder), Extension(sink.format) + (named.empty() ? "" : "." + named),
                            compression);
}

Result<std::unique_ptr<io::Sink>> MakeStreamSink(std::unique_ptr<io::RowEncoder> encoder, FILE* file,
                                                 std::string description, env::Env& env) {
  if (file != stdout && file != stderr) return io::MakeCFileSink(std::move(encoder), file, std::move(description));
  // Not through the C library, which would hold rows back.
  env::WritableFile* out = file == stdout ? &env.standard_output() : &env.standard_error();
  return io::MakeWriterSink(
      std::move(encoder), [out](std::string_view bytes) { return out->Append(bytes); }, std::move(description));
}

}  // namespace

std::string StepName(const flow::Step& step) {
  return step.arguments.empty() ? step.name : step.name + "(" + step.arguments + ")";
}

Result<std::unique_ptr<io::Source>> MakeSource(const flow::Step& step) {
  if (const auto* text = std::get_if<flow::TextFileSource>(&step.body)) {
    return io::MakeTextSource(text->paths, text->options);
  }
  if (const auto* zip = std::get_if<flow::ZipSource>(&step.body)) return io::MakeZipSource(zip->paths, zip->options);
  if (const auto* read = std::get_if<flow::ReadSource>(&step.body)) return io::MakeReadSource(read->read);
  if (const auto* channel = std::get_if<flow::ChannelSource>(&step.body))
    return io::MakeChannelSource(channel->channel);
  if (const auto* listen = std::get_if<flow::ListenSource>(&step.body)) {
    return io::MakeListenSource(listen->network, listen->address, listen->options);
  }
  if (const auto* csv = std::get_if<flow::CsvSource>(&step.body)) return io::MakeCsvSource(csv->files, csv->options);
  if (const auto* json = std::get_if<flow::JsonLinesSource>(&step.body)) {
    return io::MakeJsonSource(json->format.files, json->format.options);
  }
  if (const auto* records = std::get_if<flow::FixedWidthSource>(&step.body)) {
    return io::MakeFixedWidthSource(records->format);
  }
  if (const auto* sql = std::get_if<flow::SqlSource>(&step.body)) {
    return io::MakeSqlSource(sql->database, sql->query, sql->options);
  }
  if (const auto* strings = std::get_if<flow::StringsSource>(&step.body)) return io::MakeStringsSource(strings->values);
  if (const auto* ints = std::get_if<flow::IntsSource>(&step.body)) return io::MakeIntsSource(ints->values);
  if (const auto* range = std::get_if<flow::RangeSource>(&step.body))
    return io::MakeRangeSource(range->begin, range->end);
  if (const auto* rows = std::get_if<flow::RowsSource>(&step.body)) return io::MakeRowsSource(rows->rows);
  if (const auto* table = std::get_if<flow::TableSource>(&step.body)) return MakeTableSource(table->table);
  if (const auto* cache = std::get_if<flow::CacheStep>(&step.body)) return MakeCachedSource(cache->rows);
  return Status::Internal(step.name + " is no source");
}

Result<std::unique_ptr<io::Sink>> MakeSink(const flow::Step& step, env::Env& env) {
  if (const auto* print = std::get_if<flow::PrintfSink>(&step.body)) {
    ASSIGN_OR_RETURN(auto encoder, MakeEncoder(step));
    return MakeStreamSink(std::move(encoder), print->file, StepName(step), env);
  }
  if (const auto* pipe = std::get_if<flow::PipeOutSink>(&step.body)) {
    ASSIGN_OR_RETURN(auto encoder, MakeEncoder(step));
    if (pipe->file != nullptr) return MakeStreamSink(std::move(encoder), pipe->file, StepName(step), env);
    return io::MakeWriterSink(std::move(encoder), pipe->writer, StepName(step));
  }
  if (const auto* print = std::get_if<flow::PrintSink>(&step.body)) {
    constexpr int kStdout = 1;
    return io::MakePrintSink(print->format, print->names, env.IsTerminal(kStdout), &env.standard_output());
  }
  if (const auto* output = std::get_if<flow::OutputSink>(&step.body)) {
    return io::MakeCallbackSink(output->function, output->parallel);
  }
  if (const auto* collect = std::get_if<flow::CollectSink>(&step.body)) return io::MakeCollectSink(collect->rows);
  if (const auto* table = std::get_if<flow::TableStep>(&step.body)) {
    return io::MakeCallbackSink([rows = table->rows](const Batch& batch) { return rows->Add(batch); });
  }
  if (const auto* first = std::get_if<flow::FirstRowSink>(&step.body)) return io::MakeFirstRowSink(first->save);
  if (const auto* file = std::get_if<flow::FileSink>(&step.body)) {
    ASSIGN_OR_RETURN(auto encoder, MakeEncoder(step));
    auto sink = MakeFileSink(*file, std::move(encoder), env);
    if (!sink.ok()) return std::move(sink).status().With(step.name);
    return sink;
  }
  if (const auto* sql = std::get_if<flow::SqlSink>(&step.body)) {
    auto sink = io::MakeSqlSink(sql->database, sql->table, sql->options, sql->names);
    if (!sink.ok()) return std::move(sink).status().With(step.name);
    return sink;
  }
  return Status::Internal(step.name + " is no sink");
}

Result<Functions> MakeFunctions(const flow::Graph& graph) {
  Functions functions(graph.steps().size());
  for (size_t i = 0; i < graph.steps().size(); ++i) {
    const flow::Step& step = graph.steps()[i];
    FunctionRole role = FunctionRole::kMap;
    if (const auto* function = std::get_if<flow::FunctionStep>(&step.body)) {
      ASSIGN_OR_RETURN(functions[i], Bind(function->function, function->init));
      role = function->role;
    } else if (const auto* reduce = std::get_if<flow::ReduceStep>(&step.body)) {
      ASSIGN_OR_RETURN(functions[i], Bind(reduce->function, reduce->init));
    } else {
      continue;
    }
    if (Status status = functions[i]->Check(role); !status.ok()) return std::move(status).With(step.name);
  }
  return functions;
}

std::vector<std::string> HowFunctionsRun(const flow::Graph& graph, const Functions& functions,
                                         const udf::HostOptions& options) {
  udf::Hosts hosts(options);
  TaskContext task(0, 1, 0, &hosts);
  std::vector<std::string> how(functions.size());
  for (size_t i = 0; i < functions.size(); ++i) {
    const auto* step = std::get_if<flow::FunctionStep>(&graph.steps()[i].body);
    if (step == nullptr && functions[i] == nullptr) continue;
    how[i] = functions[i]->HowItRuns(step != nullptr ? step->role : FunctionRole::kReduce, task);
  }
  return how;
}

std::unique_ptr<ops::Operator> MakeOperator(const plan::Operator& op, const flow::Graph& graph,
                                            const Functions& functions, ops::OperatorContext context,
                                            OperatorInputs inputs) {
  using plan::OperatorKind;
  switch (op.kind) {
    case OperatorKind::kFunction:
      return std::make_unique<ops::FunctionOperator>(std::move(context), functions[op.step],
                                                     Body<flow::FunctionStep>(graph, op.step).role);
    case OperatorKind::kSelect:
      return std::make_unique<ops::SelectOperator>(std::move(context), Body<flow::SelectStep>(graph, op.step).columns);
    case OperatorKind::kAs:
      return std::make_unique<ops::AsOperator>(std::move(context), Body<flow::AsStep>(graph, op.step).names.size());
    case OperatorKind::kLimit:
      return std::make_unique<ops::LimitOperator>(std::move(context), op.count, op.offset, inputs.progress);
    case OperatorKind::kSample: {
      const auto& sample = Body<flow::SampleStep>(graph, op.step);
      if (op.draw == plan::Draw::kByCopies) {
        return std::make_unique<ops::SampleCopiesOperator>(std::move(context), sample.fraction, sample.seed,
                                                           inputs.partition);
      }
      return std::make_unique<ops::SampleOperator>(std::move(context), sample.fraction, sample.seed,
                                                   op.draw == plan::Draw::kBySplit ? inputs.split : nullptr,
                                                   static_cast<uint64_t>(inputs.rows_before));
    }
    case OperatorKind::kZipWithIndex:
      return std::make_unique<ops::ZipWithIndexOperator>(
          std::move(context), Body<flow::ZipWithIndexStep>(graph, op.step).first + inputs.rows_before);
    case OperatorKind::kDistinct:
      return std::make_unique<ops::DistinctOperator>(std::move(context),
                                                     Body<flow::DistinctStep>(graph, op.step).columns);
    case OperatorKind::kCombine:
    case OperatorKind::kMerge: {
      const auto behind = op.local ? ops::ReducePhase::kWhole : ops::ReducePhase::kMerge;
      return std::make_unique<ops::ReduceOperator>(
          std::move(context), op.keys, functions[op.step],
          op.kind == OperatorKind::kCombine ? ops::ReducePhase::kCombine : behind);
    }
    case OperatorKind::kGroup: return std::make_unique<ops::GroupOperator>(std::move(context), op.keys);
    case OperatorKind::kSort:
    case OperatorKind::kTop:
      return std::make_unique<ops::SortOperator>(std::move(context), Body<flow::SortStep>(graph, op.step).keys,
                                                 op.kind == OperatorKind::kTop ? op.count : ops::SortOperator::kAll,
                                                 inputs.runs_given_max);
    case OperatorKind::kJoin: {
      const auto& join = Body<flow::JoinStep>(graph, op.step);
      inputs.right.keys = join.right_keys;
      return std::make_unique<ops::JoinOperator>(std::move(context), join.kind, join.left_keys, std::move(inputs.right),
                                                 inputs.left_width, inputs.key_kinds);
    }
    case OperatorKind::kCoGroup: {
      const auto& group = Body<flow::CoGroupStep>(graph, op.step);
      inputs.right.keys = group.right_keys;
      return std::make_unique<ops::CoGroupOperator>(std::move(context), group.left_keys, std::move(inputs.right));
    }
    case OperatorKind::kPipe: {
      const auto& pipe = Body<flow::PipeStep>(graph, op.step);
      return std::make_unique<ops::PipeOperator>(std::move(context), pipe.command, pipe.lines);
    }
    case OperatorKind::kPipeAsArgs: {
      const auto& pipe = Body<flow::PipeStep>(graph, op.step);
      return std::make_unique<ops::PipeAsArgsOperator>(std::move(context), pipe.command, pipe.lines, pipe.parallel);
    }
    case OperatorKind::kLookup: {
      const auto& lookup = Body<flow::LookupStep>(graph, op.step);
      return std::make_unique<ops::LookupOperator>(std::move(context), lookup.table, lookup.key);
    }
    case OperatorKind::kPushTo: {
      const bool again = inputs.table != nullptr;
      return std::make_unique<ops::PushToOperator>(
          std::move(context), again ? std::move(inputs.table) : Body<flow::PushToStep>(graph, op.step).table, again);
    }
    case OperatorKind::kOrder: return std::make_unique<ops::OrderOperator>(std::move(context));
    case OperatorKind::kCut: return std::make_unique<ops::CutOperator>(std::move(context));
    case OperatorKind::kEncode: {
      const flow::Step& sink = graph.steps()[op.step];
      context.step_name = sink.name;  // As the sink says it.
      return std::make_unique<EncodeOperator>(std::move(context), MakeEncoder(sink));
    }
  }
  CHECK(false);
}

}  // namespace glim::exec
