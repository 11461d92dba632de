// SPDX-License-Identifier: Apache-2.0
//
// Zeroed memory for things that grow by moving to a larger place, such as the segments of a key index or the slots of a
// hash table: large pieces come from the kernel and go back to it at once. Through malloc the same pattern left a table
// of 10 M keys in 780 MB where 155 were used, as no freed piece ever fits the next request.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace glim::env {

enum class Pages {
  kSmall,
  // Pieces of 4 MB and more in pages of 2 MB, where the kernel has some: for what is read all over, at random. Smaller
  // ones are malloc's.
  kHuge,
};

// Zeroed, aligned to 64 bytes.
void* AllocatePages(size_t bytes, Pages pages = Pages::kSmall);
// Expects: `memory` is from AllocatePages(bytes, pages).
void FreePages(void* memory, size_t bytes, Pages pages = Pages::kSmall);

// Gives the system back what malloc keeps of freed memory, when the process has grown by 16 MB since that was done
// last; ten times a second at most. For before work that takes longer: a process that runs flow after flow would else
// keep the peak of each of its heaps.
void ReturnFreeMemory();
// The same in a process that has a limit and is larger: for whenever rows go to disk or come back.
void SetResidentLimit(int64_t bytes);  // 0: there is none.
void ReturnFreeMemoryBeyondLimit();

// `size` zeroed elements in huge pages.
template <class T>
class HugeArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit HugeArray(size_t size)
      : elements_(static_cast<T*>(AllocatePages(size * sizeof(T), Pages::kHuge)), Free{size}) {}

  size_t size() const { return elements_.get_deleter().size; }
  T* data() const { return elements_.get(); }
  T& operator[](size_t i) const { return elements_.get()[i]; }
  T* begin() const { return data(); }
  T* end() const { return data() + size(); }

 private:
  struct Free {
    size_t size;
    void operator()(T* elements) const { FreePages(elements, size * sizeof(T), Pages::kHuge); }
  };
  std::unique_ptr<T[], Free> elements_;
};

}  // namespace glim::env
