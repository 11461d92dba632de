// SPDX-License-Identifier: Apache-2.0
//
// Several threads give what one gives: for any frames, wherever the file is damaged, cut off, or goes on with something
// else, and however small the units are.
#include "io/decompress_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "io/test_files.h"
#include "io/text_source.h"

namespace glim::io {
namespace {

const std::vector<Compression> kFormats = {Compression::kGzip, Compression::kBzip2, Compression::kZstd,
                                           Compression::kLz4};

class BytesFile : public env::SequentialFile {
 public:
  BytesFile(std::string bytes, size_t piece_max, Status failure = {})
      : bytes_(std::move(bytes)), piece_max_(piece_max), failure_(std::move(failure)) {}
  Result<size_t> Read(std::span<char> out) override {
    const size_t size = bytes_.copy(out.data(), std::min(out.size(), piece_max_), at_);
    at_ += size;
    if (size == 0 && !failure_.ok()) return failure_;
    return size;
  }

 private:
  const std::string bytes_;
  const size_t piece_max_;
  const Status failure_;
  size_t at_ = 0;
};

// One frame. Of gzip, with the field in which bgzip tells its size.
std::string Packed(Compression compression, std::string_view bytes) {
  std::string out;
  auto file = Compress(std::make_unique<StringFile>(&out), compression);
  EXPECT_TRUE(file->Append(bytes).ok());
  EXPECT_TRUE(file->Close().ok());
  if (compression != Compression::kGzip || out.size() > 60000) return out;
  EXPECT_EQ(out.substr(0, 4), std::string("\x1f\x8b\x08\0", 4));
  const size_t size = out.size() + 8 - 1;
  const char extra[] = {6, 0, 'B', 'C', 2, 0, static_cast<char>(size & 0xff), static_cast<char>(size >> 8)};
  out[3] = 4;
  out.insert(10, extra, sizeof(extra));
  return out;
}

// What the file holds, or "error: " and why, without the numbers of bytes.
std::string Read(std::unique_ptr<env::SequentialFile> file) {
  std::string all, piece(5000, '\0');
  while (true) {
    const auto size = file->Read(piece);
    if (!size.ok()) {
      std::string text = "error: ";
      for (const char c : size.status().message()) {
        if (c < '0' || c > '9') text += c;
      }
      return text;
    }
    if (*size == 0) return all;
    all.append(piece, 0, *size);
  }
}

std::string ReadAlone(Compression compression, const std::string& bytes, Status failure = {}) {
  return Read(Decompress(std::make_unique<BytesFile>(bytes, 1 << 20, std::move(failure)), compression, "f"));
}

std::string ReadTogether(Compression compression, const std::string& bytes, FrameLimits limits, int threads = 3,
                         size_t piece_max = 1 << 20, Status failure = {}) {
  return Read(DecompressFrames(std::make_unique<BytesFile>(bytes, piece_max, std::move(failure)), compression, "f",
                               threads, limits));
}

std::string SomeText() {
  std::string text = *rc::gen::container<std::string>(rc::gen::inRange('a', 'e'));
  for (int doubled = *rc::gen::element(0, 0, 1, 6); doubled > 0; --doubled) text += text;
  return text;
}

FrameLimits SomeLimits() {
  return {.unit_bytes = *rc::gen::element<size_t>(1, 50, 200, 10000),
          .frame_bytes_max = *rc::gen::element<size_t>(0, 40, 100, 100000),
          .unpacked_bytes_max = *rc::gen::element<size_t>(0, 100, 1000, 1000000)};
}

RC_GTEST_PROP(DecompressFrames, GivesWhatOneThreadGives, ()) {
  const Compression compression = *rc::gen::elementOf(kFormats);
  std::string whole, bytes;
  for (int i = *rc::gen::inRange(1, 9); i > 0; --i) {
    const std::string text = SomeText();
    whole += text;
    bytes += Packed(compression, text);
  }
  const auto got =
      ReadTogether(compression, bytes, SomeLimits(), *rc::gen::inRange(1, 5), *rc::gen::element(1, 7, 100000));
  RC_ASSERT(got == whole);
}

RC_GTEST_PROP(DecompressFrames, WhatIsDamagedOrCutGivesWhatOneThreadGives, ()) {
  const Compression compression = *rc::gen::elementOf(kFormats);
  std::string bytes;
  for (int i = *rc::gen::inRange(1, 6); i > 0; --i) bytes += Packed(compression, SomeText());
  const auto at = static_cast<size_t>(*rc::gen::inRange<int>(0, static_cast<int>(bytes.size())));
  switch (*rc::gen::inRange(0, 5)) {
    case 0: bytes.resize(at); break;
    case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << *rc::gen::inRange(0, 8))); break;
    case 2: bytes.insert(at, *rc::gen::container<std::string>(rc::gen::arbitrary<char>())); break;
    case 3: bytes += *rc::gen::container<std::string>(rc::gen::element('\0', '\0', 'x')); break;
    case 4: bytes.erase(at, static_cast<size_t>(*rc::gen::inRange(1, 30))); break;
  }
  RC_ASSERT(ReadTogether(compression, bytes, SomeLimits(), *rc::gen::inRange(1, 5)) == ReadAlone(compression, bytes));
}

TEST(DecompressFrames, EveryCutGivesWhatOneThreadGives) {
  for (const Compression compression : kFormats) {
    std::string bytes;
    for (const char* text : {"one", "", "three three three three"}) bytes += Packed(compression, text);
    for (size_t size = 0; size <= bytes.size(); ++size) {
      const std::string cut = bytes.substr(0, size);
      EXPECT_EQ(ReadTogether(compression, cut, {.unit_bytes = 1}), ReadAlone(compression, cut)) << size;
    }
  }
}

TEST(DecompressFrames, AFileThatCannotBeReadIsTheSameError) {
  for (const Compression compression : kFormats) {
    const std::string bytes = Packed(compression, "one") + Packed(compression, "two");
    for (const size_t size : {bytes.size(), bytes.size() - 3, size_t{0}}) {
      const std::string cut = bytes.substr(0, size);
      const Status failure = Status::Unavailable("the disk is on fire");
      EXPECT_EQ(ReadTogether(compression, cut, {.unit_bytes = 1}, 3, 10, failure), "error: the disk is on fire");
      EXPECT_EQ(ReadAlone(compression, cut, failure), "error: the disk is on fire");
    }
  }
}

// The sizes in the headers are found, or the tests above test little.
TEST(DecompressFrames, FramesAreUnpackedBeforeTheyAreAskedFor) {
  for (const Compression compression : kFormats) {
    std::string bytes;
    for (int i = 0; i < 10; ++i) bytes += Packed(compression, std::string(1000, static_cast<char>('a' + i)));
    // The first byte comes from a unit of one frame, for which at most three frames and a piece were read.
    auto file = std::make_unique<BytesFile>(bytes, 1);
    auto* const read = file.get();
    const auto frames = DecompressFrames(std::move(file), compression, "f", 3, {.unit_bytes = 1});
    char out[5000];
    const auto size = frames->Read(out);
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(*size, 1000u);
    char next;
    EXPECT_EQ(*read->Read({&next, 1}), 1u);
  }
}

TEST(DecompressFrames, ATextSourceReadsFramesWithSeveralThreads) {
  const auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  for (const Compression compression : kFormats) {
    std::string bytes;
    Texts expected;
    for (int frame = 0; frame < 300; ++frame) {
      std::string text;
      for (int i = 0; i < 500; ++i) {
        expected.push_back({std::to_string(frame * 7919 * i)});
        text += expected.back()[0] + "\n";
      }
      bytes += Packed(compression, text);
    }
    const char* extension = compression == Compression::kGzip    ? ".gz"
                            : compression == Compression::kBzip2 ? ".bz2"
                            : compression == Compression::kZstd  ? ".zst"
                                                                 : ".lz4";
    const std::string path = folder.Write(std::string("a") + extension, bytes);
    const auto source = MakeTextSource({path}, {});
    const auto splits = source->MakeSplits(*env, {.threads = 4});
    ASSERT_EQ(splits->size(), 1u);
    EXPECT_EQ((*splits)[0].threads, 4);
    auto reader = source->Open(*env, (*splits)[0]);
    Texts rows;
    while (true) {
      const auto batch = (*reader)->Next();
      ASSERT_TRUE(batch.ok()) << batch.status().ToString();
      if (!batch->has_value()) break;
      AppendTexts(**batch, &rows);
    }
    EXPECT_TRUE(rows == expected) << extension;
  }
  // Two files share the threads.
  const auto splits = MakeTextSource({folder.path()}, {})->MakeSplits(*env, {.threads = 8});
  EXPECT_EQ((*splits)[0].threads, 2);
}

}  // namespace
}  // namespace glim::io
