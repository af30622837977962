// Requests as gRPC would give them to the services: what the converters let
// through keeps to the limits that the registry relies on.

#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/grant_names.h"
#include "server/rpc/namespace_from_proto.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/page.h"
#include "server/session/session.h"
#include "shmd/v1/namespace.pb.h"
#include "shmd/v1/orphan.pb.h"
#include "shmd/v1/session.pb.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

template <typename Request>
bool Parse(absl::string_view bytes, Request* request) {
  return request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

Caller SomeCaller() {
  Caller caller;
  caller.uid = caller.gid = 1000;
  return caller;
}

void ExpectName(const std::string& name_space, const std::string& id) {
  const SegmentName name{name_space, id};
  const auto again = ParseSegmentName("name", name.ToString());
  Expect(again.ok() && again->name_space == name_space && again->id == id);
}

void TryCreate(const v1::CreateSegmentRequest& request) {
  const auto command = CreateFromProto(request, "", SomeCaller());
  if (!command.ok()) return;
  if (!command->id.empty()) ExpectName(command->name_space, command->id);
  Expect(command->options.size_bytes > 0);
  Expect((command->options.mode & ~0666u) == 0);
  Expect(CheckLabels(command->labels).ok());
}

void TryCreate(absl::string_view bytes) {
  v1::CreateSegmentRequest request;
  if (Parse(bytes, &request)) TryCreate(request);
}

void TryBatchCreate(absl::string_view bytes) {
  v1::BatchCreateSegmentsRequest batch;
  if (!Parse(bytes, &batch)) return;
  for (const auto& request : batch.requests()) {
    CreateFromProto(request, batch.parent(), SomeCaller()).IgnoreError();
  }
}

void TryAdopt(absl::string_view bytes) {
  v1::AdoptSegmentRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = AdoptFromProto(request);
  if (command.ok()) Expect(CheckLabels(command->labels).ok());
}

void TryUpdate(absl::string_view bytes) {
  v1::UpdateSegmentRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = UpdateFromProto(request);
  if (!command.ok()) return;
  ExpectName(command->name.name_space, command->name.id);
  Expect(!command->mode.has_value() || (*command->mode & ~0666u) == 0);
}

void TryList(absl::string_view bytes) {
  v1::ListSegmentsRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = ListFromProto(request);
  if (!command.ok()) return;
  Expect(command->limit >= 1 && command->limit <= 1000);
  // The token of the next page is understood.
  request.set_page_token(MakePageToken(request, "last"));
  const auto next = ListFromProto(request);
  Expect(next.ok() && next->after_id == "last");
}

void TryHandle(absl::string_view bytes) {
  v1::CreateHandleRequest request;
  if (Parse(bytes, &request)) HandleCommandFromProto(request).IgnoreError();
}

void TryGrant(absl::string_view bytes) {
  v1::CreateGrantRequest request;
  if (Parse(bytes, &request)) GrantFromProto(request.grant()).IgnoreError();
}

void TryNumbers(absl::string_view bytes) {
  v1::SealSegmentRequest seal;
  if (Parse(bytes, &seal)) ExtentFromProto(seal.extent()).IgnoreError();
  v1::FlushSegmentRequest flush;
  if (Parse(bytes, &flush)) FlushModeFromProto(flush.mode()).IgnoreError();
  v1::GetSegmentRequest get;
  if (Parse(bytes, &get)) ReadView(get.view(), v1::FULL).IgnoreError();
  v1::RenewLeaseRequest renew;
  if (Parse(bytes, &renew)) TtlFromProto("ttl", renew.ttl()).IgnoreError();
}

void TryNames(absl::string_view bytes) {
  const auto segment = ParseSegmentName("name", bytes);
  if (segment.ok()) Expect(segment->ToString() == bytes);
  const auto grant = ParseGrantName("name", bytes);
  if (grant.ok()) Expect(grant->ToString() == bytes);
  ParseNamespaceName("name", bytes).IgnoreError();
  const auto session = ParseSessionName("name", bytes);
  if (session.ok()) Expect(SessionName(*session) == bytes);
  ReadPageToken("query", bytes).IgnoreError();
}

void ExpectNamespace(const Entrants& entrants) {
  Expect(entrants.uids.size() <= kMaxEntrants);
  Expect(entrants.gids.size() <= kMaxEntrants);
  Expect(entrants.certificate_names.size() <= kMaxEntrants);
}

void TryNamespace(absl::string_view bytes) {
  v1::CreateNamespaceRequest create;
  if (Parse(bytes, &create)) {
    const auto command = CreateFromProto(create);
    if (command.ok()) ExpectNamespace(command->entrants);
  }
  v1::UpdateNamespaceRequest update;
  if (!Parse(bytes, &update)) return;
  const auto command = UpdateFromProto(update);
  if (!command.ok()) return;
  // Which no namespace need have: then there is none of that name.
  Expect(ParseNamespaceName("name", absl::StrCat("namespaces/", command->name))
             .ok());
  if (command->entrants.has_value()) ExpectNamespace(*command->entrants);
}

// The others have nothing but names and numbers, but any bytes must do.
void TryOthers(absl::string_view bytes) {
  v1::ListOrphansRequest orphans;
  if (Parse(bytes, &orphans)) PageLimit(orphans.page_size()).IgnoreError();
  v1::WatchSegmentsRequest watch;
  if (Parse(bytes, &watch)) SegmentFilter::Parse(watch.filter()).IgnoreError();
}

constexpr void (*kParsers[])(absl::string_view) = {
    &TryCreate, &TryBatchCreate, &TryAdopt,     &TryUpdate,
    &TryList,   &TryHandle,      &TryGrant,     &TryNumbers,
    &TryNames,  &TryOthers,      &TryNamespace,
};

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  const size_t parser = input.TakeByte() % std::size(shmd::kParsers);
  shmd::kParsers[parser](input.TakeRest());
  return 0;
}
