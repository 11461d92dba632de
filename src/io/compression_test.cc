// SPDX-License-Identifier: Apache-2.0
#include "io/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <rapidcheck/gtest.h>

#include "io/csv_source.h"
#include "io/file_sink.h"
#include "io/test_files.h"
#include "io/text_source.h"

namespace glim::io {
namespace {

using ::testing::HasSubstr;

const std::vector<Compression> kAll = {Compression::kGzip, Compression::kBzip2, Compression::kXz, Compression::kZstd,
                                       Compression::kLz4};

std::string Extension(Compression compression) {
  switch (compression) {
    case Compression::kNone: return "";
    case Compression::kGzip: return ".gz";
    case Compression::kBzip2: return ".bz2";
    case Compression::kXz: return ".xz";
    case Compression::kZstd: return ".zst";
    case Compression::kLz4: return ".lz4";
  }
  return "?";
}

// Gives `piece_max` bytes at a time.
class MemoryFile : public env::SequentialFile {
 public:
  MemoryFile(std::string bytes, size_t piece_max) : bytes_(std::move(bytes)), piece_max_(piece_max) {}
  Result<size_t> Read(std::span<char> out) override {
    const size_t size = std::min({out.size(), piece_max_, bytes_.size() - at_});
    std::copy_n(bytes_.data() + at_, size, out.data());
    at_ += size;
    return size;
  }

 private:
  const std::string bytes_;
  const size_t piece_max_;
  size_t at_ = 0;
};

std::string Packed(Compression compression, std::string_view bytes) {
  std::string out;
  auto file = Compress(std::make_unique<StringFile>(&out), compression);
  EXPECT_TRUE(file->Append(bytes).ok());
  EXPECT_TRUE(file->Close().ok());
  return out;
}

Result<std::string> Unpacked(Compression compression, std::string bytes, size_t in_max = 1 << 20,
                             size_t out_max = 1 << 16) {
  auto file = Decompress(std::make_unique<MemoryFile>(std::move(bytes), in_max), compression, "x");
  std::string all, piece(out_max, '\0');
  while (true) {
    auto size = file->Read(piece);
    if (!size.ok()) return size.status();
    if (*size == 0) return all;
    all.append(piece, 0, *size);
  }
}

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

TEST(Compression, IsKnownByTheExtension) {
  for (const Compression compression : kAll)
    EXPECT_EQ(CompressionOf("a.d/b.csv" + Extension(compression)), compression);
  for (const char* path : {"", "gz", "a.gz/b", "a.gzip", "a.gz.txt", ".", "-"}) {
    EXPECT_EQ(CompressionOf(path), Compression::kNone) << path;
  }
}

TEST(Compression, ReadsWhatTheCommandLineToolsWrite) {
  const std::pair<Compression, const char*> cases[] = {
      {Compression::kGzip, "1f8b08000000000000034bcccbe34aca4fe20200d16d1ebf08000000"},
      {Compression::kBzip2, "425a683931415926535963641b1a000001410000103001a000221b4d06680a305c2ee48a70a120c6c83634"},
      {Compression::kXz,
       "fd377a585a000004e6d6b4460200210116000000742fe5a3010007616e6e0a626f620a008bb6e4adc4b67b0e00"
       "012008bb19d9bb1fb6f37d010000000004595a"},
      {Compression::kZstd, "28b52ffd0458410000616e6e0a626f620a20a21797"},
      {Compression::kLz4, "04224d186440a708000080616e6e0a626f620a000000000cc024ba"},
  };
  for (const auto& [compression, hex] : cases) {
    const auto got = Unpacked(compression, FromHex(hex));
    EXPECT_TRUE(got.ok() && *got == "ann\nbob\n") << Extension(compression) << got.status().ToString();
  }
}

RC_GTEST_PROP(Compression, WhatIsPackedComesBackHoweverItIsCut, ()) {
  const Compression compression = *rc::gen::elementOf(kAll);
  std::string whole, packed;
  auto file = Compress(std::make_unique<StringFile>(&packed), compression);
  for (int i = *rc::gen::inRange(0, 5); i > 0; --i) {
    std::string piece = *rc::gen::container<std::string>(rc::gen::inRange('a', 'd'));
    for (int doubled = *rc::gen::element(0, 0, 5, 12); doubled > 0; --doubled) piece += piece;
    whole += piece;
    RC_ASSERT(file->Append(piece).ok());
    if (*rc::gen::inRange(0, 3) == 0) RC_ASSERT(file->Sync().ok());
  }
  RC_ASSERT(file->Close().ok());
  const bool small = packed.size() < 1000 && whole.size() < 10000;
  const auto got =
      Unpacked(compression, packed, small ? *rc::gen::inRange(1, 20) : 1000, small ? *rc::gen::inRange(1, 20) : 7000);
  if (!got.ok()) RC_FAIL(got.status().message());
  RC_ASSERT(*got == whole);
}

TEST(Compression, MembersFollowEachOther) {
  for (const Compression compression : kAll) {
    const auto got =
        Unpacked(compression, Packed(compression, "a\n") + Packed(compression, "") + Packed(compression, "b"));
    EXPECT_TRUE(got.ok() && *got == "a\nb") << Extension(compression) << got.status().ToString();
  }
}

// Headers with an extra field (of bgzip), a name (of gzip), a comment and a checksum lie anywhere in a
// file of many members, so any of them is cut by the end of a buffer.
TEST(Compression, AHeaderOfGzipMayComeInPieces) {
  const std::string packed = Packed(Compression::kGzip, "some words\n");
  const std::string fixed = packed.substr(0, 3), rest = packed.substr(4, 6), body = packed.substr(10);
  const std::string extra("\6\0BC\2\0ab", 8), name("name", 5), comment("no comment", 11);
  constexpr int kHasChecksum = 2, kHasExtra = 4, kHasName = 8, kHasComment = 16;
  for (int flags = 0; flags < 32; ++flags) {
    std::string member = fixed + static_cast<char>(flags) + rest;
    if ((flags & kHasExtra) != 0) member += extra;
    if ((flags & kHasName) != 0) member += name;
    if ((flags & kHasComment) != 0) member += comment;
    if ((flags & kHasChecksum) != 0) {
      const uint32_t sum = lzma_crc32(reinterpret_cast<const uint8_t*>(member.data()), member.size(), 0);
      member += {static_cast<char>(sum & 0xff), static_cast<char>(sum >> 8 & 0xff)};
    }
    member += body;
    for (const size_t piece : {1, 2, 3, 7, 11, 17, 100}) {
      const auto got = Unpacked(Compression::kGzip, member + member, piece);
      EXPECT_TRUE(got.ok() && *got == "some words\nsome words\n")
          << "flags " << flags << ", pieces of " << piece << ": " << got.status().ToString();
    }
  }
}

// gzip and xz files on tapes end in zeros.
TEST(Compression, ZerosAfterAMemberArePadding) {
  for (const Compression compression : {Compression::kGzip, Compression::kXz}) {
    const auto got = Unpacked(compression, Packed(compression, "a") + std::string(200000, '\0'));
    EXPECT_TRUE(got.ok() && *got == "a") << Extension(compression) << got.status().ToString();
  }
}

TEST(Compression, WhereverAFileIsCutItIsAnError) {
  for (const Compression compression : kAll) {
    const std::string packed = Packed(compression, "some words, some words, and others\n");
    for (size_t size = 0; size < packed.size(); ++size) {
      const auto got = Unpacked(compression, packed.substr(0, size));
      ASSERT_FALSE(got.ok()) << Extension(compression) << " of " << size << " bytes";
      EXPECT_EQ(got.status().code(), Code::kCorrupt);
      EXPECT_THAT(got.status().message(), HasSubstr("\"x\": reading "));
    }
    EXPECT_EQ(Unpacked(compression, packed + "and this").status().code(), Code::kCorrupt) << Extension(compression);
  }
}

// Some bits of a header mean nothing, so we may get the same bytes; never other ones.
TEST(Compression, AFlippedBitIsFound) {
  std::string whole;
  for (int i = 0; i < 300; ++i) whole += std::to_string(i * i);
  for (const Compression compression : kAll) {
    const std::string packed = Packed(compression, whole);
    int found = 0;
    for (size_t bit = 0; bit < 8 * packed.size(); bit += 3) {
      std::string damaged = packed;
      damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      const auto got = Unpacked(compression, damaged);
      if (got.ok()) {
        EXPECT_EQ(*got, whole) << Extension(compression) << " bit " << bit;
      } else {
        ++found;
      }
    }
    EXPECT_GT(found, static_cast<int>(packed.size())) << Extension(compression);
  }
}

class CompressedFiles : public ::testing::Test {
 protected:
  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
};

TEST_F(CompressedFiles, TextIsWrittenAndReadByExtension) {
  std::string lines;
  Texts expected;
  for (int i = 0; i < 100000; ++i) expected.push_back({"line " + std::to_string(i)});
  for (const Compression compression : kAll) {
    const std::string path = folder_.Path("out.txt" + Extension(compression));
    auto sink = MakeFileSink(path, MakeTextEncoder(), compression);
    ASSERT_TRUE(sink->Open(*env_).ok());
    for (const auto& row : expected) ASSERT_TRUE(sink->WriteBytes(row[0] + "\n").ok());
    ASSERT_TRUE(sink->Finish().ok());
    EXPECT_LT(ReadWhole(*env_, path).size(), 500000u) << path;
    const auto rows = ReadAll(*env_, *MakeTextSource({path}, {}), 1000);
    ASSERT_TRUE(rows.ok()) << rows.status().ToString();
    EXPECT_EQ(*rows, expected) << path;
  }
}

TEST_F(CompressedFiles, CsvHeadersAreComparedToo) {
  folder_.Write("1.csv.gz", Packed(Compression::kGzip, "a,b\n1,\"2\n3\"\n"));
  const std::string path = folder_.Write("2.csv", "a,c\n");
  const auto source = MakeCsvSource({folder_.Path("*")}, {.header = true});
  EXPECT_THAT(ReadAll(*env_, *source).status().message(), HasSubstr("column 2"));
  ASSERT_TRUE(env_->files().RemoveFile(path).ok());
  EXPECT_EQ(*ReadAll(*env_, *source), (Texts{{"1", "2\n3"}}));
}

TEST_F(CompressedFiles, AMistakeNamesTheFileAndTheByte) {
  const std::string path = folder_.Write("a.gz", "plain text");
  EXPECT_EQ(ReadAll(*env_, *MakeTextSource({path}, {})).status().message(),
            "\"" + path + "\": reading gzip data at byte 0: no gzip header");
}

}  // namespace
}  // namespace glim::io
