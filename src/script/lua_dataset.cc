// SPDX-License-Identifier: Apache-2.0
#include "script/lua_dataset.h"

#include <fmt/core.h>

#include "base/try.h"

namespace glim::script {

Result<int> PushDataset(lua_State* L, Dataset dataset) {
  PushObject(L, kDataset, std::move(dataset));
  return 1;
}

Result<Dataset*> Self(lua_State* L) {
  if (void* memory = TestObject(L, 1, kDataset)) return static_cast<Dataset*>(memory);
  return Status::Invalid("call the steps of a dataset with a colon, like data:Map(f)");
}

Result<Flow*> SelfFlow(lua_State* L) {
  if (void* memory = TestObject(L, 1, kFlow)) return static_cast<Flow*>(memory);
  return Status::Invalid("call the sources of a flow with a colon, like flow:TextFile(name)");
}

Result<FieldRef> ToField(lua_State* L, int index, const char* what) {
  if (lua_type(L, index) == LUA_TSTRING) {
    size_t size = 0;
    const char* text = lua_tolstring(L, index, &size);
    return FieldRef(std::string(text, size));
  }
  ASSIGN_OR_RETURN(const int number, ToInt(L, index, what));
  return FieldRef(number);
}

Result<Fields> ToFieldList(lua_State* L, int index, const char* what) {
  if (void* memory = TestObject(L, index, kFields)) return *static_cast<Fields*>(memory);
  std::vector<FieldRef> fields;
  if (!lua_istable(L, index)) {
    ASSIGN_OR_RETURN(FieldRef field, ToField(L, index, what));
    fields.push_back(std::move(field));
    return Fields(std::move(fields));
  }
  RETURN_IF_ERROR(IsList(L, index, what));
  for (size_t i = 1; i <= lua_objlen(L, index); ++i) {
    lua_rawgeti(L, index, static_cast<int>(i));
    ASSIGN_OR_RETURN(FieldRef field, ToField(L, lua_gettop(L), what));
    fields.push_back(std::move(field));
    lua_pop(L, 1);
  }
  return Fields(std::move(fields));
}

Result<Fields> ToFields(lua_State* L, int index, const char* what, Fields otherwise) {
  if (index > CountArguments(L)) return otherwise;
  std::vector<FieldRef> fields;
  for (const int last = CountArguments(L); index <= last; ++index) {
    ASSIGN_OR_RETURN(const Fields more, ToFieldList(L, index, what));
    fields.insert(fields.end(), more.list().begin(), more.list().end());
  }
  return Fields(std::move(fields));
}

Result<std::vector<OrderBy>> ToOrders(lua_State* L, int index, const char* what) {
  std::vector<OrderBy> orders;
  for (const int last = CountArguments(L); index <= last; ++index) {
    if (void* memory = TestObject(L, index, kOrder)) {
      orders.push_back(*static_cast<OrderBy*>(memory));
      continue;
    }
    ASSIGN_OR_RETURN(const Fields fields, ToFieldList(L, index, what));
    for (const FieldRef& field : fields.list()) orders.emplace_back(field);
  }
  return orders;
}

Result<FILE*> ToFile(lua_State* L, int index, const char* what) {
  auto* file = static_cast<FILE**>(TestObject(L, index, LUA_FILEHANDLE));
  if (file == nullptr) return WrongArgument(L, index, what, "an open file such as io.stdout");
  if (*file == nullptr) return Status::Invalid(std::string(what) + ": the file is closed");
  return *file;
}

}  // namespace glim::script
