// SPDX-License-Identifier: Apache-2.0
//
// main of a fuzz target where libFuzzer is not at hand: gives it every file of the folders on the command line, each
// cut off at every length and with every byte changed once. So the corpus is an ordinary test.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Try(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      for (size_t size = 0; size <= bytes.size(); ++size) Try(bytes.substr(0, size));
      for (size_t at = 0; at < bytes.size(); ++at) {
        for (const char c : {'\0', '"', '\n', ',', '%', '[', '9', '\xff'}) {
          std::string changed = bytes;
          changed[at] = c;
          Try(changed);
        }
      }
      ++files;
    }
  }
  std::printf("%d files\n", files);
  return files > 0 ? 0 : 1;
}
