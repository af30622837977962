#ifndef SHMD_BASE_ERROR_REASON_H_
#define SHMD_BASE_ERROR_REASON_H_

namespace shmd::reason {

// The reasons of every error, as in protos/shmd/v1/errors.proto (a test
// compares the two). docs/errors.md tells what each means to a caller.

// Bad requests.
inline constexpr char kNameInvalid[] = "NAME_INVALID";
inline constexpr char kSegmentIdInvalid[] = "SEGMENT_ID_INVALID";
inline constexpr char kSizeInvalid[] = "SIZE_INVALID";
inline constexpr char kPageSizeMismatch[] = "PAGE_SIZE_MISMATCH";
inline constexpr char kBackendInvalid[] = "BACKEND_INVALID";
inline constexpr char kPosixNameInvalid[] = "POSIX_NAME_INVALID";
inline constexpr char kFilePathInvalid[] = "FILE_PATH_INVALID";
inline constexpr char kModeInvalid[] = "MODE_INVALID";
inline constexpr char kLabelInvalid[] = "LABEL_INVALID";
inline constexpr char kFieldInvalid[] = "FIELD_INVALID";
inline constexpr char kFieldNotUpdatable[] = "FIELD_NOT_UPDATABLE";
inline constexpr char kFilterInvalid[] = "FILTER_INVALID";
inline constexpr char kPageSizeInvalid[] = "PAGE_SIZE_INVALID";
inline constexpr char kPageTokenInvalid[] = "PAGE_TOKEN_INVALID";
inline constexpr char kResumeTokenInvalid[] = "RESUME_TOKEN_INVALID";
inline constexpr char kRequestIdInvalid[] = "REQUEST_ID_INVALID";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kRequestInvalid[] = "REQUEST_INVALID";
inline constexpr char kBatchTooLarge[] = "BATCH_TOO_LARGE";
inline constexpr char kPeekTooLarge[] = "PEEK_TOO_LARGE";
inline constexpr char kHandleInvalid[] = "HANDLE_INVALID";

// Names that are taken or absent.
inline constexpr char kNamespaceNotFound[] = "NAMESPACE_NOT_FOUND";
inline constexpr char kSegmentNotFound[] = "SEGMENT_NOT_FOUND";
inline constexpr char kSegmentExists[] = "SEGMENT_EXISTS";
inline constexpr char kObjectNotFound[] = "OBJECT_NOT_FOUND";
inline constexpr char kObjectExists[] = "OBJECT_EXISTS";
inline constexpr char kObjectManaged[] = "OBJECT_MANAGED";

// Access.
inline constexpr char kCallerUnknown[] = "CALLER_UNKNOWN";
inline constexpr char kCallerNotAllowed[] = "CALLER_NOT_ALLOWED";

// The state of a segment or its object.
inline constexpr char kSegmentInUse[] = "SEGMENT_IN_USE";
inline constexpr char kSegmentSealed[] = "SEGMENT_SEALED";
inline constexpr char kSegmentAdopted[] = "SEGMENT_ADOPTED";
inline constexpr char kSealRefused[] = "SEAL_REFUSED";
inline constexpr char kNotResizable[] = "NOT_RESIZABLE";
inline constexpr char kObjectReplaced[] = "OBJECT_REPLACED";
inline constexpr char kObjectUnsuitable[] = "OBJECT_UNSUITABLE";
inline constexpr char kSegmentTruncated[] = "SEGMENT_TRUNCATED";
inline constexpr char kOwnerNotSettable[] = "OWNER_NOT_SETTABLE";
inline constexpr char kFileRootMissing[] = "FILE_ROOT_MISSING";
inline constexpr char kEtagMismatch[] = "ETAG_MISMATCH";
inline constexpr char kHandleStale[] = "HANDLE_STALE";
inline constexpr char kHandleExpired[] = "HANDLE_EXPIRED";

// What there is not enough of.
inline constexpr char kQuotaExceeded[] = "QUOTA_EXCEEDED";
inline constexpr char kBudgetExceeded[] = "BUDGET_EXCEEDED";
inline constexpr char kMemoryExhausted[] = "MEMORY_EXHAUSTED";
inline constexpr char kCgroupLimitExceeded[] = "CGROUP_LIMIT_EXCEEDED";
inline constexpr char kShmSpaceExhausted[] = "SHM_SPACE_EXHAUSTED";
inline constexpr char kFileSpaceExhausted[] = "FILE_SPACE_EXHAUSTED";
inline constexpr char kHugepagesExhausted[] = "HUGEPAGES_EXHAUSTED";
inline constexpr char kSysvLimitExceeded[] = "SYSV_LIMIT_EXCEEDED";
inline constexpr char kFileSizeLimitExceeded[] = "FILE_SIZE_LIMIT_EXCEEDED";
inline constexpr char kLockLimitExceeded[] = "LOCK_LIMIT_EXCEEDED";
inline constexpr char kDescriptorsExhausted[] = "DESCRIPTORS_EXHAUSTED";
inline constexpr char kAttachmentLimit[] = "ATTACHMENT_LIMIT";
inline constexpr char kWatchLimitExceeded[] = "WATCH_LIMIT_EXCEEDED";

// Other.
inline constexpr char kRangeOutsideSegment[] = "RANGE_OUTSIDE_SEGMENT";
inline constexpr char kResumeTokenExpired[] = "RESUME_TOKEN_EXPIRED";
inline constexpr char kBackendUnsupported[] = "BACKEND_UNSUPPORTED";
inline constexpr char kServerDraining[] = "SERVER_DRAINING";
inline constexpr char kServerUnreachable[] = "SERVER_UNREACHABLE";
inline constexpr char kAddressInUse[] = "ADDRESS_IN_USE";
inline constexpr char kFileError[] = "FILE_ERROR";
inline constexpr char kStoreFailed[] = "STORE_FAILED";
inline constexpr char kKeeperUnreachable[] = "KEEPER_UNREACHABLE";
inline constexpr char kStorageFailed[] = "STORAGE_FAILED";
inline constexpr char kKernelRefused[] = "KERNEL_REFUSED";
inline constexpr char kInvariantBroken[] = "INVARIANT_BROKEN";

// Sessions, grants, namespaces, orphans.
inline constexpr char kSessionNotFound[] = "SESSION_NOT_FOUND";
inline constexpr char kGrantNotFound[] = "GRANT_NOT_FOUND";
inline constexpr char kGrantInvalid[] = "GRANT_INVALID";
inline constexpr char kGrantLimitExceeded[] = "GRANT_LIMIT_EXCEEDED";
inline constexpr char kNamespaceExists[] = "NAMESPACE_EXISTS";
inline constexpr char kNamespaceInUse[] = "NAMESPACE_IN_USE";
inline constexpr char kNamespaceLimitExceeded[] = "NAMESPACE_LIMIT_EXCEEDED";
inline constexpr char kLeaseMissing[] = "LEASE_MISSING";
inline constexpr char kNotRevocable[] = "NOT_REVOCABLE";
inline constexpr char kSegmentRevocable[] = "SEGMENT_REVOCABLE";
inline constexpr char kOrphanNotFound[] = "ORPHAN_NOT_FOUND";
inline constexpr char kOrphanInUse[] = "ORPHAN_IN_USE";

// What programs share in memory.
inline constexpr char kLayoutVersionMismatch[] = "LAYOUT_VERSION_MISMATCH";
inline constexpr char kHeaderCorrupt[] = "HEADER_CORRUPT";
inline constexpr char kDirectoryFull[] = "DIRECTORY_FULL";
inline constexpr char kObjectIdInvalid[] = "OBJECT_ID_INVALID";
inline constexpr char kArenaNotFound[] = "ARENA_NOT_FOUND";
inline constexpr char kSegmentReserved[] = "SEGMENT_RESERVED";
inline constexpr char kAnswersUnread[] = "ANSWERS_UNREAD";
inline constexpr char kArenaShared[] = "ARENA_SHARED";
inline constexpr char kObjectsInUse[] = "OBJECTS_IN_USE";

// Channels.
inline constexpr char kChannelIdInvalid[] = "CHANNEL_ID_INVALID";
inline constexpr char kChannelNotFound[] = "CHANNEL_NOT_FOUND";
inline constexpr char kChannelExists[] = "CHANNEL_EXISTS";
inline constexpr char kChannelInUse[] = "CHANNEL_IN_USE";
inline constexpr char kChannelFull[] = "CHANNEL_FULL";
inline constexpr char kMemberNotFound[] = "MEMBER_NOT_FOUND";
inline constexpr char kChannelClosed[] = "CHANNEL_CLOSED";
inline constexpr char kChannelBlocked[] = "CHANNEL_BLOCKED";
inline constexpr char kNoMessage[] = "NO_MESSAGE";
inline constexpr char kCutOff[] = "CUT_OFF";
inline constexpr char kMessageTooLarge[] = "MESSAGE_TOO_LARGE";
inline constexpr char kMessageDamaged[] = "MESSAGE_DAMAGED";
inline constexpr char kMessagesHeld[] = "MESSAGES_HELD";
inline constexpr char kClaimLost[] = "CLAIM_LOST";
inline constexpr char kServerGone[] = "SERVER_GONE";
inline constexpr char kWaitLimitExceeded[] = "WAIT_LIMIT_EXCEEDED";

// Locks and the like.
inline constexpr char kSyncIdInvalid[] = "SYNC_ID_INVALID";
inline constexpr char kSyncPrimitiveNotFound[] = "SYNC_PRIMITIVE_NOT_FOUND";
inline constexpr char kSyncPrimitiveExists[] = "SYNC_PRIMITIVE_EXISTS";
inline constexpr char kSyncPrimitiveInvalid[] = "SYNC_PRIMITIVE_INVALID";
inline constexpr char kLockNotHeld[] = "LOCK_NOT_HELD";
inline constexpr char kLockBroken[] = "LOCK_BROKEN";
inline constexpr char kBarrierBroken[] = "BARRIER_BROKEN";
inline constexpr char kSyncLimitExceeded[] = "SYNC_LIMIT_EXCEEDED";
inline constexpr char kCountTooLarge[] = "COUNT_TOO_LARGE";
inline constexpr char kDeadlinePassed[] = "DEADLINE_PASSED";

}  // namespace shmd::reason

#endif  // SHMD_BASE_ERROR_REASON_H_
