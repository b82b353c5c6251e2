//! The tables, as both engines have them. Kept by hand; a test compares it with both migrated databases.

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    users (id) {
        id -> DbUuid,
        email -> Text,
        display_name -> Text,
        role -> SmallInt,
        password_hash -> Nullable<Text>,
        create_time -> DbTimestamp,
        update_time -> DbTimestamp,
        disable_time -> Nullable<DbTimestamp>,
        version -> BigInt,
        revision -> BigInt,
        live_tasks -> BigInt,
        compacted_revision -> BigInt,
        listened -> Bool,
        kind -> SmallInt,
        totp_enabled -> Bool,
        email_verified -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::DbUuid;

    emails (email_key) {
        email_key -> Text,
        user_id -> DbUuid,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    sessions (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        device -> Text,
        peer -> Text,
        create_time -> DbTimestamp,
        last_use_time -> DbTimestamp,
        expire_time -> DbTimestamp,
        revoke_time -> Nullable<DbTimestamp>,
        family_hash -> Binary,
        refresh_hash -> Binary,
        previous_hash -> Nullable<Binary>,
        successor_salt -> Nullable<Binary>,
        rotate_time -> DbTimestamp,
        rotate_request_id -> Nullable<DbUuid>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbJson, DbTimestamp, DbUuid};

    tasks (user_id, task_id) {
        user_id -> DbUuid,
        task_id -> DbUuid,
        title -> Text,
        title_key -> Text,
        description -> Nullable<Text>,
        description_key -> Nullable<Text>,
        completed -> Bool,
        priority -> SmallInt,
        due_time -> Nullable<DbTimestamp>,
        labels -> DbJson,
        create_time -> DbTimestamp,
        update_time -> DbTimestamp,
        complete_time -> Nullable<DbTimestamp>,
        delete_time -> Nullable<DbTimestamp>,
        purge_time -> Nullable<DbTimestamp>,
        revision -> BigInt,
        details -> Nullable<DbJson>,
        list_id -> Nullable<DbUuid>,
        position -> Text,
        parent_id -> Nullable<DbUuid>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    task_lists (user_id, list_id) {
        user_id -> DbUuid,
        list_id -> DbUuid,
        title -> Text,
        position -> Text,
        create_time -> DbTimestamp,
        update_time -> DbTimestamp,
        delete_time -> Nullable<DbTimestamp>,
        purge_time -> Nullable<DbTimestamp>,
        revision -> BigInt,
        unfinished -> Nullable<SmallInt>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    task_changes (user_id, revision) {
        user_id -> DbUuid,
        revision -> BigInt,
        #[sql_name = "type"]
        kind -> SmallInt,
        task_id -> DbUuid,
        fields -> SmallInt,
        state -> Nullable<Text>,
        before -> Nullable<Text>,
        create_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    requests (user_id, request_id) {
        user_id -> DbUuid,
        request_id -> DbUuid,
        fingerprint -> Binary,
        answer -> Binary,
        create_time -> DbTimestamp,
        made_user_id -> Nullable<DbUuid>,
        password_hash -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::DbTimestamp;

    service_secrets (name) {
        name -> Text,
        value -> Binary,
        create_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    revocations (user_id, subject_id) {
        user_id -> DbUuid,
        subject_id -> DbUuid,
        revoked -> Bool,
        time -> DbTimestamp,
        number -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    api_keys (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        display_name -> Text,
        scopes -> SmallInt,
        secret_hash -> Binary,
        create_time -> DbTimestamp,
        expire_time -> Nullable<DbTimestamp>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    second_factors (user_id) {
        user_id -> DbUuid,
        secret -> Binary,
        create_time -> DbTimestamp,
        confirm_time -> Nullable<DbTimestamp>,
        last_step -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::DbUuid;

    recovery_codes (user_id, code_hash) {
        user_id -> DbUuid,
        code_hash -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    login_challenges (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        secret_hash -> Binary,
        proved_hash -> Binary,
        device -> Text,
        tries -> SmallInt,
        expire_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    identities (identity_key) {
        identity_key -> Binary,
        user_id -> DbUuid,
        issuer -> Text,
        subject -> Text,
        create_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::DbTimestamp;

    login_throttles (throttle_key) {
        throttle_key -> Binary,
        failures -> Integer,
        update_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    audit_events (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        #[sql_name = "type"]
        kind -> SmallInt,
        actor_id -> Nullable<DbUuid>,
        session_id -> Nullable<DbUuid>,
        api_key_id -> Nullable<DbUuid>,
        peer -> Text,
        request_id -> Text,
        create_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::DbUuid;

    database_state (id) {
        id -> SmallInt,
        history -> DbUuid,
        seen_on -> Nullable<Text>,
        mark -> BigInt,
        compatible_from -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    job_leases (job) {
        job -> Text,
        holder -> DbUuid,
        expire_time -> DbTimestamp,
    }
}

diesel::table! {
    guards (name) {
        name -> Text,
        version -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::DbTimestamp;

    event_listeners (name) {
        name -> Text,
        everyone -> Bool,
        renew_time -> DbTimestamp,
    }
}

diesel::table! {
    event_head (id) {
        id -> SmallInt,
        last_number -> BigInt,
        swept_number -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    outbox (user_id, revision, id) {
        user_id -> DbUuid,
        revision -> BigInt,
        id -> DbUuid,
        last_revision -> BigInt,
        kind -> SmallInt,
        payload -> Nullable<Text>,
        create_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    events (user_id, number) {
        user_id -> DbUuid,
        number -> BigInt,
        revision -> BigInt,
        id -> DbUuid,
        last_revision -> BigInt,
        kind -> SmallInt,
        payload -> Nullable<Text>,
        create_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    webhooks (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        url -> Text,
        event_types -> Integer,
        disable_reason -> Nullable<SmallInt>,
        secret -> Binary,
        previous_secret -> Nullable<Binary>,
        previous_until -> Nullable<DbTimestamp>,
        create_time -> DbTimestamp,
        update_time -> DbTimestamp,
        last_success_time -> Nullable<DbTimestamp>,
        last_failure_time -> Nullable<DbTimestamp>,
        last_failure_code -> Nullable<Integer>,
        last_failure_reason -> Nullable<SmallInt>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    webhook_queues (user_id, webhook_id) {
        user_id -> DbUuid,
        webhook_id -> DbUuid,
        owner_id -> DbUuid,
        next_number -> BigInt,
        last_number -> BigInt,
        next_revision -> BigInt,
        replay_revision -> Nullable<BigInt>,
        replay_until -> Nullable<BigInt>,
        attempts -> SmallInt,
        next_attempt_time -> Nullable<DbTimestamp>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    mails (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        kind -> SmallInt,
        payload -> Binary,
        attempts -> SmallInt,
        next_attempt_time -> DbTimestamp,
        expire_time -> DbTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::storage::engine::types::{DbTimestamp, DbUuid};

    mail_tokens (user_id, id) {
        user_id -> DbUuid,
        id -> DbUuid,
        purpose -> SmallInt,
        secret_hash -> Binary,
        proved_hash -> Binary,
        expire_time -> DbTimestamp,
        new_email -> Nullable<Text>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    users,
    emails,
    identities,
    api_keys,
    second_factors,
    login_challenges,
    mail_tokens,
    database_state,
    event_head,
    revocations
);
