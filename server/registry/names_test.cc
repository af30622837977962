#include "server/registry/names.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

TEST(NamesTest, SegmentNameIsParsedAndWrittenBack) {
  const std::string longest(kMaxSegmentIdBytes, 'x');
  for (const std::string& id : {std::string("a"), std::string("A-b_c.9"),
                                std::string("..."), longest}) {
    const std::string text = absl::StrCat("namespaces/default/segments/", id);
    const auto name = ParseSegmentName("name", text);
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(name->name_space, "default");
    EXPECT_EQ(name->id, id);
    EXPECT_EQ(name->ToString(), text);
  }
}

TEST(NamesTest, OtherSegmentNamesAreRefused) {
  for (const std::string& text :
       {std::string(), std::string("a"), std::string("default/a"),
        std::string("namespaces/default/segments"),
        std::string("namespaces/default/segments/"),
        std::string("namespaces//segments/a"),
        std::string("/namespaces/default/segments/a"),
        std::string("namespaces/default/segments/a/"),
        std::string("namespaces/default/segments/a/b"),
        std::string("Namespaces/default/segments/a"),
        std::string("namespaces/default/Segments/a"),
        std::string("namespaces/default/segments/."),
        std::string("namespaces/default/segments/.."),
        std::string("namespaces/../segments/a"),
        std::string("namespaces/default/segments/a b"),
        std::string("namespaces/default/segments/\xc3\xa4"),
        std::string("namespaces/default/segments/a\0", 30),
        absl::StrCat("namespaces/default/segments/",
                     std::string(kMaxSegmentIdBytes + 1, 'x')),
        absl::StrCat("namespaces/", std::string(64, 'x'), "/segments/a")}) {
    const auto name = ParseSegmentName("some.field", text);
    EXPECT_EQ(GetErrorReason(name.status()), "NAME_INVALID") << text;
    EXPECT_EQ(GetErrorDetail(name.status()).field, "some.field");
  }
}

TEST(NamesTest, NamespaceName) {
  EXPECT_EQ(ParseNamespaceName("parent", "namespaces/default").value(),
            "default");
  for (const char* text :
       {"", "default", "namespaces", "namespaces/", "namespaces/..",
        "namespaces/a/b", "namespaces/a/", "/namespaces/a"}) {
    const auto name = ParseNamespaceName("parent", text);
    EXPECT_EQ(GetErrorReason(name.status()), "NAME_INVALID") << text;
  }
}

TEST(NamesTest, SegmentId) {
  EXPECT_TRUE(CheckSegmentId("segment_id", "a.B-c_0").ok());
  for (const char* id : {"", ".", "..", "a/b", "a b", "\xff", "a\n"}) {
    EXPECT_EQ(GetErrorReason(CheckSegmentId("segment_id", id)),
              "SEGMENT_ID_INVALID")
        << id;
  }
}

TEST(NamesTest, LabelsWithinTheirLimits) {
  std::map<std::string, std::string> labels;
  for (size_t i = 0; i < kMaxLabels; ++i) labels[absl::StrCat("k", i)] = "";
  EXPECT_TRUE(CheckLabels(labels).ok());
  labels["one-too-many"] = "";
  EXPECT_EQ(GetErrorReason(CheckLabels(labels)), "LABEL_INVALID");
  EXPECT_TRUE(CheckLabels({{std::string(kMaxLabelKeyBytes, 'k'),
                            std::string(kMaxLabelValueBytes, '\xff')}})
                  .ok());
  EXPECT_TRUE(CheckLabels({{"a_b.c-9", "any \n value"}}).ok());
}

TEST(NamesTest, OtherLabelsAreRefused) {
  for (const std::string& key :
       {std::string(), std::string("Upper"), std::string("uPper"),
        std::string("9a"), std::string("_a"), std::string("a b"),
        std::string("a/b"), std::string("\xc3\xa4"),
        std::string(kMaxLabelKeyBytes + 1, 'k')}) {
    const absl::Status status = CheckLabels({{key, "value"}});
    EXPECT_EQ(GetErrorReason(status), "LABEL_INVALID") << key;
    EXPECT_EQ(GetErrorDetail(status).field, "segment.labels");
  }
  EXPECT_EQ(GetErrorReason(CheckLabels(
                {{"k", std::string(kMaxLabelValueBytes + 1, 'v')}})),
            "LABEL_INVALID");
}

TEST(NamesTest, RequestId) {
  EXPECT_TRUE(CheckRequestId("").ok());
  EXPECT_TRUE(CheckRequestId("any printable: ~").ok());
  EXPECT_TRUE(CheckRequestId(std::string(kMaxRequestIdBytes, 'r')).ok());
  for (const std::string& id :
       {std::string(kMaxRequestIdBytes + 1, 'r'), std::string("a\n"),
        std::string("\xc3\xa4"), std::string(1, '\0')}) {
    EXPECT_EQ(GetErrorReason(CheckRequestId(id)), "REQUEST_ID_INVALID") << id;
  }
}

}  // namespace
}  // namespace shmd
