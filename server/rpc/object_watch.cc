#include "server/rpc/object_watch.h"

#include <deque>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/object/object_events.h"
#include "server/object/object_names.h"
#include "server/registry/names.h"
#include "server/rpc/object_proto.h"
#include "server/rpc/watch_stream.h"

namespace shmd {
namespace {

constexpr size_t kObjectsPerPage = 64;
// Of a namespace in which there never was an object: no log has this epoch.
constexpr ChangePlace kBeforeAll = {0, 0};

// The source of a WatchStream.
class ObjectWatch {
 public:
  using Reply = v1::WatchObjectsResponse;

  ObjectWatch(NamespaceTable* namespaces, ObjectRegistry* objects,
              std::shared_ptr<const Caller> caller, std::string name_space,
              std::string id_prefix)
      : namespaces_(namespaces),
        objects_(objects),
        caller_(std::move(caller)),
        name_space_(std::move(name_space)),
        id_prefix_(std::move(id_prefix)) {}
  ~ObjectWatch() {
    if (table_ != nullptr) table_->EndWatch();
  }

  // Before anything else: behind the token, or anew when it is empty.
  absl::Status Begin(const std::string& resume_token) {
    RETURN_IF_ERROR(Open(resume_token));
    if (resume_token.empty()) return absl::OkStatus();
    listing_ = false;
    synced_ = true;
    if (table_ != nullptr || resume_token == MakeResumeToken(kBeforeAll)) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(ParseResumeToken(resume_token).status());
    return ResumeTokenExpired();
  }

  absl::StatusOr<bool> Next(Reply* reply) {
    if (table_ == nullptr) RETURN_IF_ERROR(Open(""));
    reply->Clear();
    if (listing_) return NextExisting(reply);
    return table_ == nullptr ? false : NextChange(reply);
  }

 private:
  // The namespace's table, if it has one by now.
  absl::Status Open(const std::string& resume_token) {
    absl::StatusOr<std::shared_ptr<ObjectTable>> table =
        objects_->Table(*caller_, name_space_);
    if (GetErrorReason(table.status()) == reason::kObjectNotFound) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(table.status());
    ASSIGN_OR_RETURN(start_, (*table)->StartWatch(resume_token));
    table_ = *std::move(table);
    listing_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> NextExisting(Reply* reply);
  absl::StatusOr<bool> NextChange(Reply* reply);
  void FillPage();
  std::string Token() const {
    return table_ == nullptr ? MakeResumeToken(kBeforeAll)
                             : start_.events->Token(start_.revision);
  }

  NamespaceTable* const namespaces_;
  ObjectRegistry* const objects_;
  const std::shared_ptr<const Caller> caller_;
  const std::string name_space_;
  const std::string id_prefix_;

  std::shared_ptr<ObjectTable> table_;  // null: nothing was ever put there
  ObjectTable::WatchStart start_;       // its revision moves on
  bool listing_ = true;
  bool synced_ = false;  // SYNCED was sent
  uint32_t listed_to_ = 0;
  bool listed_all_ = false;
  std::deque<ObjectView> page_;
};

void ObjectWatch::FillPage() {
  while (page_.empty() && !listed_all_) {
    std::vector<ObjectView> views = table_->List(listed_to_, kObjectsPerPage);
    listed_all_ = views.empty();
    for (ObjectView& view : views) {
      listed_to_ = view.position;
      // Of what is newer there is an event.
      if (view.generation > start_.last_generation ||
          !absl::StartsWith(view.name.id(), id_prefix_)) {
        continue;
      }
      page_.push_back(std::move(view));
    }
  }
}

absl::StatusOr<bool> ObjectWatch::NextExisting(Reply* reply) {
  if (table_ != nullptr) FillPage();
  if (!page_.empty()) {
    // Where there was nothing when the watch began, it has just been made.
    reply->set_type(synced_ ? Reply::CREATED : Reply::EXISTING);
    ObjectToProto(name_space_, page_.front(), reply->mutable_object());
    page_.pop_front();
    return true;
  }
  listing_ = false;
  if (synced_) return NextChange(reply);
  synced_ = true;
  reply->set_type(Reply::SYNCED);
  reply->set_resume_token(Token());
  return true;
}

absl::StatusOr<bool> ObjectWatch::NextChange(Reply* reply) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<ObjectEvent> event,
                     start_.events->TakeNext(&start_.revision));
    if (!event.has_value()) return false;
    // Who may enter can change while somebody watches.
    RETURN_IF_ERROR(namespaces_->CheckEntry(*caller_, name_space_));
    if (!absl::StartsWith(event->name.id(), id_prefix_)) continue;
    reply->set_resume_token(Token());
    v1::Object* const object = reply->mutable_object();
    if (event->type == ObjectEvent::Type::kCreated) {
      reply->set_type(Reply::CREATED);
      ObjectToProto(name_space_, MakeView(event->name, event->entry), object);
    } else {
      reply->set_type(Reply::DELETED);
      object->set_name(ObjectNameOf(name_space_, event->name));
      object->set_generation(event->entry.generation);
      object->set_size_bytes(event->entry.size_bytes);
    }
    return true;
  }
}

// The namespace that is to be watched.
absl::StatusOr<std::string> Decode(
    const absl::StatusOr<std::shared_ptr<const Caller>>& caller,
    const v1::WatchObjectsRequest& request, const NamespaceTable& namespaces) {
  RETURN_IF_ERROR(caller.status());
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  RETURN_IF_ERROR(namespaces.CheckEntry(**caller, name_space));
  return name_space;
}

}  // namespace

ReplySource* WatchObjects(WatchHub* hub, NamespaceTable* namespaces,
                          ObjectRegistry* objects,
                          absl::StatusOr<std::shared_ptr<const Caller>> caller,
                          const v1::WatchObjectsRequest& request,
                          ReplyWriter<v1::WatchObjectsResponse>* writer) {
  const absl::StatusOr<std::string> name_space =
      Decode(caller, request, *namespaces);
  if (!name_space.ok()) {
    return new RefusedWatch<v1::WatchObjectsResponse>(writer,
                                                      name_space.status());
  }
  const uid_t uid = (*caller)->uid;
  auto source =
      std::make_unique<ObjectWatch>(namespaces, objects, *std::move(caller),
                                    *name_space, request.id_prefix());
  const absl::Status begun = source->Begin(request.resume_token());
  if (!begun.ok()) {
    return new RefusedWatch<v1::WatchObjectsResponse>(writer, begun);
  }
  auto* const watch =
      new WatchStream<ObjectWatch>(hub, writer, std::move(source));
  hub->Add(watch, *name_space, uid);
  return watch;
}

}  // namespace shmd
